//! Monsters with wings, claws or more than two legs.

use crate::sprites::canvas::{Layer, NOTHING, half};

pub(super) const BAT: &[Layer] = &[
    half! { 2:
        ".t....b."
        ".tt...bb"
        ".tTt.bBb"
        ".tTttbBb"
        ".ttttbbb"
        ".tt7tbbb"
        ".t.7tbbb"
        "...7.bbb"
        ".....8bb"
        "......8b"
        "......8."
    },
    // Wings down.
    half! { 3:
        "......b."
        "..tt.bbb"
        ".tTTtbBb"
        ".tTttbBb"
        ".tttbbbb"
        ".t7tbbbb"
        ".t7tbbbb"
        ".t.7.bbb"
        ".t.7.8bb"
        "......8b"
        "......8."
    },
];

pub(super) const BAT_FACES: &[Layer] = &[
    half! { 6:
        "......o."
        "......kb"
        "........"
        "......ow"
    },
    half! { 6:
        "......ww"
        "......wk"
        "........"
        "......wo"
    },
];

pub(super) const SPIDER: &[Layer] = &[
    half! { 3:
        "..l....."
        ".l...bbb"
        ".l..bBBb"
        "..llbBbb"
        "....bbbb"
        ".lllbbbb"
        ".l..bbbb"
        "...lbbbb"
        "..l.8bbb"
        ".l...88b"
        ".l......"
    },
    // Fat, on short legs.
    half! { 3:
        ".....bbb"
        ".l.bbBBb"
        ".llbBBbb"
        "...bBbbb"
        ".llbbbbb"
        ".l.bbbbb"
        "..lbbbbb"
        ".l.8bbbb"
        ".l.l8bbb"
        "..l..888"
        "..l....."
    },
];

pub(super) const BACKS: &[Layer] = &[
    NOTHING,
    half! { 4:
        "......tT"
        ".......t"
        "......tt"
    },
    half! { 4:
        ".......t"
        ".....tt."
        ".......t"
    },
    half! { 4:
        ".....tt."
        ".....tt."
    },
];

pub(super) const MARKS: &[Layer] = &[
    half! { 8:
        ".....k.k"
        "........"
        "......w."
    },
    half! { 8:
        ".....ww."
        ".....wo."
        "........"
        "......w."
    },
    half! { 8:
        "....k.k."
        "......k."
        "......wo"
    },
];

pub(super) const DRAGON_WINGS: &[Layer] = &[
    NOTHING,
    half! { 5:
        "..t....."
        ".tT....."
        ".tTt...."
        ".tTtt..."
        ".ttt...."
        ".t.7...."
        ".t......"
    },
    half! { 4:
        ".t......"
        ".tt....."
        ".tTt...."
        ".ttt...."
        "..ttt..."
        "...t...."
    },
];

pub(super) const DRAGON: &[Layer] = &[
    half! { 2:
        "....bbBb"
        "....bBBb"
        "...bBbbb"
        "...bbobb"
        "...bbkbb"
        "....bbbb"
        "....bbob"
        "....8bbb"
        "....b8tT"
        "...bbttt"
        "...8b777"
        "....btTt"
        "...bb8tt"
    },
    // Open jaws.
    half! { 2:
        "....bbBb"
        "...bBBbb"
        "...bBbbb"
        "...bookb"
        "...bbbbb"
        "....bbbo"
        "....wowo"
        "....oooo"
        "....bwbb"
        "...bbttt"
        "...8btTt"
        "...bb777"
        "...b88tt"
    },
];

pub(super) const DRAGON_HORNS: &[Layer] = &[
    half! { 1:
        "...m...."
        "...mM..."
        "....m..."
    },
    half! { 1:
        ".......t"
        ".......t"
        ".......t"
    },
    half! { 1:
        "..mm...."
        "..3m...."
        "...m...."
    },
];

pub(super) const CRAB: &[Layer] = &[
    half! { 3:
        ".bb..w.."
        "bB.b.o.."
        "bb.b.b.."
        ".bb..bbb"
        ".8.bbBBb"
        ".bbbBBbb"
        "..bbBbbb"
        "..bbbboo"
        ".b8bbbww"
        ".b.88bbb"
        "..bb.888"
        "..b.b..."
    },
    half! { 3:
        ".b.b...."
        "bB.b..w."
        "bbbb..k."
        ".bb..bbb"
        ".8.bbBBb"
        ".bbbBBbb"
        "..bbBbtt"
        "..bbbbbb"
        ".b8bbbbo"
        ".b.88bbb"
        "..bb.888"
        "..b.b..."
    },
];

pub(super) const OWL: &[Layer] = &[half! { 2:
    "..bb...."
    "..bbbbbb"
    "..bBBbbb"
    "..bBwwwb"
    "..bwwwwb"
    "..bwwwwg"
    "..bbwwbg"
    ".bbbbbbb"
    ".b8btTtt"
    ".b8t7t7t"
    ".b8bttt7"
    "..8bbttt"
    "....gg.."
}];

pub(super) const OWL_FACES: &[Layer] = &[
    half! { 5:
        "....oo.."
        "....oo.."
    },
    half! { 5:
        ".....k.."
        ".....k.."
    },
    half! { 4:
        "..bbb..."
        "....bb.."
        ".....o.."
    },
];

pub(super) const CAT: &[Layer] = &[
    half! { 2:
        "..b....."
        "..bb...."
        "..btbbbb"
        "..bbBBbb"
        "..bBBbbb"
        "..bBbbbb"
        "..bbbbbb"
        "...bbbbb"
        "....8888"
        "....bBtt"
        "...bbbtT"
        "...bb8tt"
        "...bb8bb"
    },
    // Wolf: pointed, with a ruff.
    half! { 1:
        "...b...."
        "..bb...."
        "..btb.bb"
        "..bbbBBb"
        "..bBBbbb"
        "..bBbbbb"
        ".bbbbttt"
        "..bbtttt"
        ".bbb8ttt"
        "..bb8888"
        "...bBbtt"
        "...bbbtt"
        "...bb8tt"
        "...bb8bb"
    },
];

pub(super) const CAT_FACES: &[Layer] = &[
    half! { 6:
        "....wo.."
        "....wo.."
        ".......o"
    },
    half! { 6:
        "....kk.."
        ".....k.."
        ".......o"
        "......w."
    },
    half! { 6:
        "....oo.."
        "........"
        ".......o"
        "......oo"
    },
];
