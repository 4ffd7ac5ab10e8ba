//! Orbs, stars, rings and other shapes that glow.

use crate::sprites::canvas::{Layer, NOTHING, full, half};

pub(super) const ORB: &[Layer] = &[
    half! { 2:
        ".....bbb"
        "...bbBBB"
        "..bBBBBB"
        "..bBBBbb"
        ".bBBBbbb"
        ".bBBbbbb"
        ".bBBbbbb"
        ".bBbbbbb"
        "..bbbbbb"
        "..8bbbbb"
        "...88bbb"
        ".....888"
    },
    // A ball on its way, with a halo.
    half! { 2:
        ".....ttt"
        "...tt..."
        "..t..bbb"
        "..t.bBBb"
        ".t.bBBBb"
        ".t.bBBbb"
        ".t.bBbbb"
        ".t.bbbbb"
        "..t.8bbb"
        "..t..888"
        "...tt..."
        ".....ttt"
    },
];

pub(super) const CORES: &[Layer] = &[
    NOTHING,
    full! { 5:
        "................"
        ".....ww........."
        ".....w...ttt...."
        "........tttt...."
        "........ttt....."
        "................"
    },
    half! { 6:
        "......tT"
        ".....tTw"
        ".....tTw"
        "......tT"
    },
    full! { 5:
        "........tt......"
        ".......tt......."
        "......tTTt......"
        "........tt......"
        ".......tt......."
        "......tt........"
    },
];

pub(super) const SWIRL: &[Layer] = &[
    full! { 2:
        "....bbbbbb......"
        "..bbBBBBBBbb...."
        "..bBbbbbbbBBb..."
        ".bBb......bBBb.."
        ".bBb.tttt..bBb.."
        ".bb.tTTTtt.bBb.."
        "....tTwwTt.bBb.."
        ".bb.ttwwTt.bBb.."
        ".bBb.ttttbbBb..."
        ".bBBb..bbBBb...."
        "..bBBBBBBbb....."
        "...bbbbbb......."
    },
    // Three arms.
    full! { 2:
        "......bbb......."
        "....bbBBbb......"
        "...bBBbb....bb.."
        "...bBb.....bBb.."
        "...bBbtttt.bBBb."
        "....bbtTTtt.bBb."
        "..bb.tTwwTtbbBb."
        ".bBb.tTwwTtbBb.."
        ".bBb..tttt.bb..."
        ".bBBb.......bb.."
        "..bBBbb..bbBb..."
        "...bbBBBBBbb...."
        ".....bbbbb......"
    },
];

pub(super) const STAR: &[Layer] = &[
    // Five points.
    half! { 1:
        ".......b"
        "......bB"
        "......bB"
        ".....bBB"
        ".bbbbbBB"
        ".bBBBBBB"
        "..bBBBBB"
        "...bBBBb"
        "...bBBbb"
        "..bBBbbb"
        "..bBbbb8"
        "..bbb8.."
        "..b8...."
    },
    // Four points.
    half! { 1:
        ".......b"
        ".......b"
        "......bB"
        "......bB"
        ".....bBB"
        "...bbBBB"
        ".bbBBBBw"
        ".bbBBBBw"
        "...bbBBB"
        ".....bBB"
        "......bB"
        "......bb"
        ".......b"
        ".......b"
    },
    // Eight rays.
    half! { 1:
        ".......b"
        ".......b"
        "...b..bB"
        "...bb.bB"
        "....bbBB"
        "....bBBB"
        ".bbbBBBw"
        ".bbbBBBw"
        "....bBBB"
        "....bbBB"
        "...bb.bB"
        "...b..bb"
        ".......b"
        ".......b"
    },
];

pub(super) const HEARTS_OF_STARS: &[Layer] = &[
    NOTHING,
    half! { 6:
        "......tt"
        ".....tTw"
        ".....tTw"
        "......tt"
    },
];

pub(super) const RING: &[Layer] = &[
    half! { 2:
        ".....bbb"
        "...bbBBB"
        "..bBBbbb"
        "..bBb..."
        ".bBb...."
        ".bBb...."
        ".bBb...."
        ".bBb...."
        "..bBb..."
        "..bbBbbb"
        "...bbBBB"
        ".....bbb"
    },
    // Thin, with four beads.
    half! { 1:
        ".......t"
        "......tT"
        "....bbtt"
        "...b...."
        "..b....."
        "..b....."
        ".tt....."
        "tTt....."
        ".tt....."
        "..b....."
        "...b...."
        "....bbtt"
        "......tT"
        ".......t"
    },
];

pub(super) const RUNES: &[Layer] = &[
    half! { 7:
        "......tT"
        "......tt"
    },
    full! { 6:
        ".......tt......."
        "......tTTt......"
        "......tTTt......"
        ".......tt......."
    },
    half! { 5:
        ".......t"
        ".......t"
        ".....ttt"
        ".....ttt"
        ".......t"
        ".......t"
    },
    half! { 5:
        "......tt"
        ".....t.."
        ".......t"
        ".......t"
        ".....t.."
        "......tt"
    },
];

pub(super) const CRESCENT: &[Layer] = &[
    full! { 1:
        ".......bbb......"
        ".....bbBBb......"
        "....bBBBb......."
        "...bBBBb........"
        "..bBBBb........."
        "..bBBBb....t...."
        "..bBBBb...tTt..."
        "..bBBBb....t...."
        "..bBBBbb........"
        "..bbBBBbb...bb.."
        "...bBBBBbbbbbb.."
        "....bbBBBBBbb..."
        "......bbbbb....."
    },
    // A blade of wind.
    full! { 1:
        "...........bb..."
        ".........bbBb..."
        ".......bbBBb...."
        "......bBwBb....."
        ".....bBwBb......"
        "....bBwwBb......"
        "....bBwBb......."
        "....bBwBb......."
        "....bBwwBb......"
        ".....bBwBb......"
        "......bBwBb....."
        ".......bbBBb...."
        ".........bbBb..."
        "...........bb..."
    },
];

pub(super) const HEART: &[Layer] = &[
    half! { 3:
        "...bbb.."
        "..bBBBb."
        ".bBwBBBb"
        ".bBBBbbb"
        ".bBBbbbb"
        ".bBbbbbb"
        "..bbbbbb"
        "...bbbbb"
        "....8bbb"
        ".....8bb"
        "......8b"
        ".......8"
    },
    // A shield of light.
    half! { 2:
        ".bbb...b"
        ".bBBbbbb"
        ".bBtttTb"
        ".bBttTTb"
        ".bBttTTw"
        ".bBtTwww"
        ".bBttTTw"
        ".bBttTTb"
        "..bBtTTb"
        "..bBttTb"
        "...bBttb"
        "....bBbb"
        "......bb"
    },
];

pub(super) const SNOW: &[Layer] = &[
    half! { 1:
        ".......b"
        ".....b.b"
        "......bB"
        "..bb...B"
        "..bBb..B"
        "...bBb.B"
        ".b..bBBB"
        ".bBBBBww"
        ".b..bBBB"
        "...bBb.B"
        "..bBb..B"
        "..bb...B"
        "......bB"
        ".....b.b"
    },
    // A flower of light.
    half! { 1:
        "......bb"
        ".....bBB"
        "..bb.bBB"
        ".bBBbbBB"
        ".bBBBbbB"
        ".bBBBBtt"
        "..bbbtTw"
        "..bbbtTw"
        ".bBBBBtt"
        ".bBBBbbB"
        ".bBbbbBB"
        "..bb.bBB"
        ".....bbB"
        "......bb"
    },
];
