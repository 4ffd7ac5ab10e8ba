//! Hats of heroes.

use crate::sprites::canvas::{Layer, full, half};

pub(super) const ALL: &[Layer] =
    &[KNIGHT, CRESTED, HORNED, WIZARD, CROWN, HOOD, BAND, BERET, FEATHER, TIARA, NINJA];

const KNIGHT: Layer = half! { 1:
    "....mMMm"
    "...mMMmm"
    "..mMMmmm"
    "..mMmmmg"
    "..m3333g"
    "..m3...."
    "..mm...."
    "...3...."
};

const CRESTED: Layer = half! { 1:
    "....mMbB"
    "...mMMbB"
    "..mMMmbb"
    "..mMmmbb"
    "..m33338"
    "..m3...."
    "..3....."
};

const HORNED: Layer = half! { 1:
    ".G......"
    ".gG.mMMm"
    "..ggMMmm"
    "...6Mmmm"
    "...33333"
};

const WIZARD: Layer = half! { 1:
    "......bB"
    ".....bBb"
    "....bBBb"
    "....gGgg"
    ".bbBbbbb"
    "..8....."
};

const CROWN: Layer = half! { 1:
    "...G.G.G"
    "...gGgGb"
    "...gggg8"
};

const HOOD: Layer = half! { 1:
    "....bBBb"
    "...bBBbb"
    "..bBBbbb"
    "..bBb888"
    "..bb8..."
    "..bb...."
    "..bb...."
    "..8bb..."
};

const BAND: Layer = full! { 3:
    "...bBBbbbbbbbb.."
    "...888888888.bb."
};

const BERET: Layer = half! { 1:
    "...bbBBb"
    "..bBBBbb"
    "..bBbbbb"
    "...88888"
};

const FEATHER: Layer = full! { 1:
    "....bBBbbb..tt.."
    "...bBBbbbbb.Tt.."
    "..bbBbbbbbbtTt.."
    "..gGGggggggt7..."
    ".b88888888888b.."
};

const TIARA: Layer = half! { 3:
    "...g...G"
    "....gggb"
};

const NINJA: Layer = half! { 1:
    "....bBBb"
    "...bBBbb"
    "...bBbbb"
    "...bbbbb"
    "...88888"
    "...b...."
    "...bb.bb"
    "....8bbb"
};
