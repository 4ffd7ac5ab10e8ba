//! Clothes of heroes.

use crate::sprites::canvas::{Layer, half};

pub(super) const ALL: &[Layer] =
    &[TUNIC, PLATE, ROBE, DRESS, VEST, TABARD, BARE, GI, STRIPES, MAIL, ROYAL];

const TUNIC: Layer = half! { 9:
    "....tTtt"
    "...tTTtt"
    "...s7tt7"
    "....lllg"
    "....tt7t"
    "....lll."
};

const PLATE: Layer = half! { 9:
    "..mMmMMm"
    "..mm3Mmm"
    "...s3mm3"
    "....lllg"
    "....mM3o"
    "....mm3."
};

const ROBE: Layer = half! { 9:
    "....tTtg"
    "...tTTtg"
    "..tT7ttg"
    "..ss7ttg"
    "...tTttg"
    "...bbbbb"
};

const DRESS: Layer = half! { 9:
    "....stTt"
    "...s7TTt"
    "...s7ttt"
    "....bbbb"
    "...tTttt"
    "..tTt7t7"
};

const VEST: Layer = half! { 9:
    "....tTbb"
    "...bTTbb"
    "...s7tbb"
    "....lllg"
    "....ll1o"
    "....lll."
};

const TABARD: Layer = half! { 9:
    "...mMTtt"
    "..mm3Ttg"
    "...s3tgg"
    "....tTtg"
    "....t7tt"
    "....mm3."
};

const BARE: Layer = half! { 9:
    "....sSss"
    "..ssSSs5"
    "..s5sss5"
    "....lllg"
    "....tt7o"
    "....lll."
};

const GI: Layer = half! { 9:
    "....tTts"
    "...tTTt7"
    "...s7tt7"
    "....bbbb"
    "....tt7o"
    "....sss."
};

const STRIPES: Layer = half! { 9:
    "....tTtt"
    "...bbBbb"
    "...s7ttt"
    "....bBbb"
    "....ll1o"
    "....lll."
};

const MAIL: Layer = half! { 9:
    "...bBmMm"
    "..bb3m3m"
    "...s3mMm"
    "....lllg"
    "....bb8o"
    "....lll."
};

const ROYAL: Layer = half! { 9:
    "...wwwtg"
    "..bBbTTg"
    "..bs7ttg"
    "..bbgggg"
    "..b8ttto"
    "..b8lll."
};
