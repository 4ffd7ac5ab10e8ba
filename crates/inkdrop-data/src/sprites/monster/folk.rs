//! Monsters that stand on two legs.

use crate::sprites::canvas::{Layer, NOTHING, full, half};

pub(super) const SKELETON: &[Layer] = &[
    half! { 1:
        "....bbbb"
        "...bBBBb"
        "...bBBbb"
        "...boobb"
        "...bokb8"
        "...8bbbo"
        "....bobo"
        "....8b8b"
        "..bboooB"
        "..b.bBbb"
        "..b.oooB"
        "..b..bbb"
        "....bbob"
        "...bb8.."
    },
    // Long skull.
    half! { 1:
        "....bbbb"
        "...bBBBb"
        "...bBBbb"
        "...bBbbb"
        "...boobb"
        "...boob8"
        "....8bbo"
        "....bobo"
        ".bb..8b8"
        ".b.bBbbb"
        ".b.ooooB"
        "....bBbb"
        "....8oob"
        "...bb8.."
    },
];

pub(super) const SKELETON_GEAR: &[Layer] = &[
    NOTHING,
    full! { 5:
        ".m.............."
        ".M.............."
        ".m.............."
        ".M.............."
        ".m.............."
        ".gg............."
    },
    // A helmet.
    half! { 1:
        "....tTTt"
        "...tTTtt"
        "...t7777"
    },
    // A hood and robe.
    half! { 1:
        "....tTTt"
        "...tTTtt"
        "..tTt777"
        "..tt...."
        "..tt...."
        "..tt...."
        "..tt...."
        "..7tt..."
        "...ttttt"
        "..tTtttt"
        "..tT7ttt"
        "..bt7ttt"
        "...tt7tt"
        "...77777"
    },
    // A shield.
    full! { 9:
        "...........tttt."
        "...........tggt."
        "...........tggt."
        "...........7tt7."
        "............77.."
    },
];

pub(super) const GOBLIN: &[Layer] = &[
    half! { 2:
        "....bbbb"
        "...bBBbb"
        ".b.bBbbb"
        ".bbbbbbb"
        "..8bbbbb"
        "...bbbbb"
        "....8bbb"
        "....tTtt"
        "...btTtt"
        "...b7ttt"
        "....lllg"
        "....tt7o"
        "....bbb."
    },
    // Orc: no neck, broad.
    half! { 2:
        "....bbbb"
        "...bBBbb"
        "...bBbbb"
        "...bbbbb"
        "...bbbbb"
        "...bbbbb"
        "..bb8bbb"
        ".bBbtTtt"
        ".bb8tTt7"
        ".bb87ttt"
        "....lllg"
        "....tt7o"
        "....lll."
    },
];

pub(super) const GOBLIN_FACES: &[Layer] = &[
    half! { 4:
        "....oo.."
        ".....k.."
        ".......8"
        ".....oww"
    },
    half! { 4:
        "....oo.."
        ".....wo."
        "........"
        ".....w.o"
        "......oo"
    },
    half! { 5:
        ".....w.."
        ".....k.."
        "......oo"
    },
];

pub(super) const CLUBS: &[Layer] = &[
    NOTHING,
    NOTHING,
    full! { 6:
        ".ll............."
        ".lL............."
        ".ll............."
        ".1.............."
        ".l.............."
        ".1.............."
    },
    full! { 5:
        ".m.............."
        ".M.............."
        ".M.............."
        ".m.............."
        ".m.............."
        ".l.............."
        ".1.............."
    },
];

pub(super) const IMP_WINGS: &[Layer] = &[
    NOTHING,
    half! { 6:
        ".t......"
        ".tt....."
        ".tTt...."
        ".tttt..."
        ".t.tt..."
        "...t...."
    },
];

pub(super) const IMP: &[Layer] = &[half! { 3:
    "....bbbb"
    "...bBBbb"
    "...bBbbb"
    "...boobb"
    "...bbkbb"
    "....bbbb"
    "....bwoo"
    ".....8bb"
    "....bBbb"
    "...bbtbb"
    "....8ttt"
    "....bb8."
}];

pub(super) const IMP_HORNS: &[Layer] = &[
    half! { 1:
        "...m...."
        "...mm..."
        "....m..."
    },
    half! { 1:
        ".mm....."
        ".m......"
        ".mm....."
        "..mm...."
    },
    half! { 1:
        "........"
        ".....m.m"
        ".....m.m"
    },
];

pub(super) const ROBOT: &[Layer] = &[
    half! { 3:
        "...mMMmm"
        "...mMmmm"
        "..tmoooo"
        "..tmoooo"
        "...mmmmm"
        "....3333"
        "..mbBbbb"
        ".mmbBbbb"
        ".m3bbbgg"
        ".m.8bbbb"
        "....88.o"
        "...mmm.."
    },
    // Round head.
    half! { 2:
        ".....mMM"
        "....mMMm"
        "...mMmmm"
        "...moooo"
        "...moooo"
        "...3mmmm"
        "....3333"
        "..mbBbgg"
        ".m3bBbbb"
        ".m.bbbbb"
        ".m.8bbbb"
        "....88.o"
        "...mmm.."
    },
];

pub(super) const ANTENNAS: &[Layer] = &[
    NOTHING,
    half! { 1:
        "...t...."
        "...m...."
    },
    half! { 1:
        ".......t"
        ".......m"
        ".......m"
    },
];

pub(super) const SCREENS: &[Layer] = &[
    half! { 5:
        ".....t.."
        ".....t.."
    },
    half! { 5:
        "....ttt."
        "........"
    },
    half! { 5:
        ".....wt."
        ".....tt."
    },
];

pub(super) const GOLEM: &[Layer] = &[
    half! { 2:
        "....bbbb"
        "....bBBb"
        "....bBbb"
        "....bbbb"
        "..bb8bbb"
        ".bBBb888"
        ".bBbbBBb"
        ".bb8BBbb"
        ".8.bBbbb"
        ".bb8bbbb"
        ".bb.8888"
        ".88.bb8o"
        "...bbb8."
    },
    // Made of blocks.
    half! { 2:
        "...bBBbb"
        "...bBbbb"
        "...bbbbb"
        "...88888"
        ".bBb8bBb"
        ".bbb8bbb"
        ".888o888"
        ".bBb8bBb"
        ".bbb8bbb"
        ".888o888"
        "...bBb8o"
        "...bbb8o"
        "...bbb8."
    },
];

pub(super) const GOLEM_EYES: &[Layer] = &[
    half! { 4:
        ".....tT."
    },
    half! { 4:
        ".....kk."
        "........"
        "......oo"
    },
    half! { 4:
        ".....t.."
        "........"
        "........"
        "........"
        ".......t"
        "......tT"
        ".......t"
    },
];

pub(super) const MUMMY: &[Layer] = &[
    half! { 1:
        "....bBBb"
        "...bBBb8"
        "...88bbb"
        "...bb888"
        "...oooo8"
        "...oooob"
        "...bbb88"
        "....888b"
        "...bBbb8"
        "..bb88bb"
        "..8bbb88"
        "..b888bb"
        "....b88o"
        "....bbb."
    },
    // Arms out, bandages loose.
    half! { 1:
        "....bBBb"
        "...bBBb8"
        "...88bbb"
        "...bb888"
        "...oooo8"
        "...oooob"
        "...bbb88"
        ".bb.888b"
        ".8bbBbb8"
        "..88b8bb"
        ".b..bb88"
        ".b..88bb"
        "....b88o"
        "....bbb."
    },
];

pub(super) const MUMMY_EYES: &[Layer] = &[
    half! { 5:
        ".....t.."
    },
    half! { 5:
        ".....tt."
    },
    half! { 5:
        "....tT.."
        "....tt.."
    },
];
