//! Monsters without bones.

use crate::sprites::canvas::{Layer, NOTHING, half};

pub(super) const SLIME: &[Layer] = &[
    half! { 4:
        "......bb"
        "....bbbb"
        "...bBBbb"
        "..bBBbbb"
        "..bBbbbb"
        ".bbbbbbb"
        ".bbbbbbb"
        ".bbbbbbb"
        ".8bbbbbb"
        ".888bbbb"
        "..888888"
    },
    // Dripping to a point.
    half! { 2:
        ".......b"
        ".......b"
        "......bb"
        ".....bBb"
        "....bBBb"
        "...bBBbb"
        "..bBBbbb"
        "..bBbbbb"
        ".bbbbbbb"
        ".bbbbbbb"
        ".8bbbbbb"
        ".888bbbb"
        "..888888"
    },
];

pub(super) const SLIME_EYES: &[Layer] = &[
    half! { 8:
        "....wwbb"
        "....wkbb"
        "....wkbb"
        "......oo"
    },
    half! { 8:
        ".....obb"
        ".....obb"
        "........"
        ".....ooo"
        "......tt"
    },
    half! { 8:
        "...oobbb"
        "....wobb"
        "........"
        "....oooo"
        "....wow."
    },
    // One eye.
    half! { 7:
        ".....www"
        "....wwwk"
        "....wwwk"
        ".....www"
        "........"
        "......oo"
    },
];

pub(super) const CROWNS: &[Layer] = &[
    NOTHING,
    NOTHING,
    half! { 2:
        "....g..g"
        "....gGgg"
        "....6666"
    },
    half! { 2:
        "...t...."
        "...tt..."
        "....t7.."
    },
    half! { 2:
        ".......l"
        "....tt.l"
        ".....tTl"
    },
];

pub(super) const GHOST: &[Layer] = &[
    half! { 1:
        ".....bbb"
        "...bbBBb"
        "..bBBBbb"
        "..bBBbbb"
        "..bBbbbb"
        "..bbbbbb"
        "..bbbbbb"
        ".bbbbbbb"
        ".bbbbbbb"
        "..bbbbbb"
        "..bbbbbb"
        "..bbbbbb"
        "..8bb.8b"
        "..8...8."
    },
    // A hooded shade.
    half! { 1:
        ".....ttt"
        "...ttTTt"
        "..tTTttt"
        "..tTtbbb"
        "..ttbbbb"
        "..ttbbbb"
        "..ttbbbb"
        ".tTttbbb"
        ".tTttttt"
        ".tt7tttt"
        "..t7tttt"
        "..t7t7tt"
        "...7t.7t"
        "...7..7."
    },
];

pub(super) const GHOST_FACES: &[Layer] = &[
    half! { 5:
        ".....oo."
        ".....ko."
        "........"
        ".......o"
    },
    half! { 5:
        ".....wo."
        ".....wk."
        "........"
        "......oo"
        "......ow"
    },
    half! { 5:
        "....oo.."
        ".....oo."
        ".....ko."
        "......oo"
    },
];

pub(super) const EYE: &[Layer] = &[half! { 3:
    ".....bbb"
    "...bbBBb"
    "..bBBBbb"
    "..bBwwww"
    ".bBwwwww"
    ".bbwwwww"
    ".bbwwwww"
    ".bbbwwww"
    "..bbbwww"
    "..8bbbbb"
    "...88bbb"
    ".....888"
}];

pub(super) const STALKS: &[Layer] = &[
    NOTHING,
    half! { 1:
        "..t...t."
        "..b...b."
        "...b..b."
    },
    // Wings.
    half! { 4:
        ".t......"
        "tt......"
        "tt......"
        ".t......"
    },
    // Lashes.
    half! { 1:
        "....b..."
        "..b..b.b"
        "...b.b.b"
    },
];

pub(super) const PUPILS: &[Layer] = &[
    half! { 7:
        "......tt"
        ".....tTo"
        ".....tto"
        "......77"
    },
    half! { 7:
        ".......t"
        "......to"
        "......to"
        ".......t"
    },
    // Angry lid.
    half! { 6:
        "...bbbbb"
        "....8bbb"
        "......8t"
        "......to"
        ".......7"
    },
];

pub(super) const MUSHROOM: &[Layer] = &[half! { 1:
    ".....bbb"
    "...bbBBb"
    "..bBBBbb"
    ".bBBbbbb"
    ".bBbbbbb"
    ".bbbbbbb"
    ".888bbbb"
    "...88888"
    "....mMMm"
    "....mMmm"
    "...mmmmm"
    "....mmmm"
    "....3mmm"
    "....ll.."
}];

pub(super) const SPOTS: &[Layer] = &[
    half! { 2:
        ".......w"
        "....ww.w"
        "....ww.."
        "..w....."
        "..w...ww"
    },
    half! { 3:
        "......tt"
        "...t..tt"
        "........"
        ".....t.."
    },
    half! { 3:
        ".......t"
        "......tt"
        ".....tt."
        "..ttt..."
    },
];

pub(super) const STEM_FACES: &[Layer] = &[
    half! { 10:
        ".....o.."
        ".....o.."
        ".......o"
    },
    half! { 10:
        "....oo.."
        ".....k.."
        "......oo"
    },
];

pub(super) const JELLY: &[Layer] = &[
    half! { 2:
        ".....bbb"
        "...bbBBb"
        "..bBBBbb"
        ".bBBbbbb"
        ".bBbbbbb"
        ".bbbbbbb"
        ".8bbbbbb"
        "..tttttt"
        "..t.7.t."
        "..t.7.t."
        "...t.7.t"
        "...t.7.t"
        "..t.7.t."
    },
    half! { 2:
        ".....bbb"
        "....bBBb"
        "...bBBbb"
        "...bBbbb"
        "...bbbbb"
        "...bbbbb"
        "...8bbbb"
        "..tt7tt7"
        ".tt.t7t7"
        ".t.tt.tt"
        ".tt.t.t."
        "....tt.t"
    },
];

pub(super) const JELLY_FACES: &[Layer] = &[
    half! { 5:
        ".....o.."
        ".....o.."
        ".......o"
    },
    half! { 5:
        "....ww.."
        "....wk.."
    },
    half! { 5:
        "....oo.."
        ".....k.."
        "......oo"
    },
];
