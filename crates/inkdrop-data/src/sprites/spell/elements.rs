//! Fire, ice, lightning, water, wind.

use crate::sprites::canvas::{Layer, full, half};

pub(super) const FIREBALL: &[Layer] = &[
    full! { 1:
        "............b..."
        ".........b.bb..."
        "......b.bbbb...."
        "....bbbbbBbb.bb."
        "...bbBBBBBbbbb.."
        "..bbBBttBBBbb..."
        "..bBBtTTtBBbb..."
        "..bBttTwTtBbb..."
        "..bBttwwTtBb...."
        "..bBBtTTttBb...."
        "...bBBtttBBb...."
        "...bbBBBBBb....."
        "....bbbbbb......"
    },
    // A comet with a long tail.
    full! { 1:
        ".............bb."
        "...........bbb.."
        "..........bbtb.."
        "........bbBtbb.."
        ".......bBBtbb..."
        "....bbbBBttb...."
        "...bBBBBttbb...."
        "..bBBtTttBb....."
        "..bBtTwwtBb....."
        "..bBtwwwtBb....."
        "..bBttwttBb....."
        "...bBBtBBb......"
        "....bbbbb......."
    },
];

pub(super) const FLAME: &[Layer] = &[
    full! { 1:
        "........b......."
        "........bb......"
        ".......bbb......"
        "...b..bbBb..b..."
        "...bb.bBBbb.b..."
        "...bbbBBBbbbb..."
        "..bbBBBtBBbbb..."
        "..bBBBttBBBbbb.."
        "..bBBtTtttBBbb.."
        "..bBttTTTttBbb.."
        "..bBttTwwTtBb..."
        "...bBtTwwTtBb..."
        "....bBttttBb...."
        ".....bbbbbb....."
    },
    half! { 1:
        ".......b"
        "......bb"
        "......bB"
        ".....bBB"
        "..b.bbBB"
        "..bbbBBt"
        "..bbBBtt"
        ".bbBBttT"
        ".bBBttTT"
        ".bBBtTTw"
        ".bBBtTww"
        "..bBttTw"
        "...bBBtt"
        "....bbbb"
    },
    // Two tongues.
    full! { 2:
        ".....b.........."
        ".....bb.....b..."
        "....bBb....bb..."
        "...bBBb...bBb..."
        "...bBBbb.bBBb..."
        "..bBBtBbbBBBbb.."
        "..bBttBBBtBBBb.."
        "..bBtTtBttBtBb.."
        "..bBtTtttTttBb.."
        "..bBttTTwTtBb..."
        "...bBttwwttBb..."
        "....bBBttBBb...."
        "......bbbb......"
    },
];

pub(super) const ICE: &[Layer] = &[
    // One crystal.
    half! { 1:
        ".......B"
        "......BB"
        ".....BBb"
        "....BBBb"
        "....BBwb"
        "....BwBb"
        "....BBBb"
        "....BBBb"
        "....BBBb"
        "....bBBb"
        ".....bBb"
        "......bb"
        ".......b"
    },
    // Three crystals.
    full! { 1:
        ".......BB......."
        "......BBbb......"
        "......BBbb......"
        "..B..BBwb8b..b.."
        ".BBb.BBwb8b.bb8."
        ".BBbbBwBb8bBbb8."
        ".BwbbBBBb88Bbb8."
        ".BBbbBBBb88Bb88."
        "..BbbBBBb88Bb8.."
        "..BBbBBBb8bBb8.."
        "...BbbBBb8bb8..."
        "....bbbBb8b8...."
        "......bbb8......"
    },
    // A cut gem.
    half! { 3:
        "...BBBBB"
        "..BBwBBb"
        ".BBwBBbb"
        ".bbbbbbb"
        ".BBBbBBb"
        "..BBbBBb"
        "...BBbBb"
        "....BbBb"
        ".....BBb"
        "......bb"
        ".......b"
    },
];

pub(super) const BOLT: &[Layer] = &[
    full! { 1:
        ".......bbbbbb..."
        "......bBBBbb...."
        "......bBBbb....."
        ".....bBBbb......"
        ".....bBBb......."
        "....bBBbbbbb...."
        "....bBwwBBb....."
        "...bbbbwBb......"
        "......bwBb......"
        ".....bBBb......."
        ".....bBb........"
        "....bBb........."
        "....bb.........."
        "....b..........."
    },
    // Forked.
    full! { 1:
        "....bb.........."
        "....bBb........."
        ".....bBb........"
        ".....bBBb...bb.."
        "......bBBb.bb..."
        ".....bbBwbbb...."
        "....bBBwBbb....."
        "....bbBwwBb....."
        "......bbwBBb...."
        ".....bb.bwBb...."
        "....bb...bBBb..."
        "...bb.....bBb..."
        "..........bb...."
        "..........b....."
    },
];

pub(super) const DROP: &[Layer] = &[
    half! { 1:
        ".......b"
        ".......b"
        "......bB"
        ".....bBB"
        "....bBBb"
        "....bBbb"
        "...bBBbb"
        "...bBwbb"
        "...bwwbb"
        "...bwbbb"
        "...bbbbb"
        "....8bbb"
        ".....888"
    },
    // A wave.
    full! { 3:
        "......bbbb......"
        "....bbBBwwbb...."
        "...bBBBBbbwwb..."
        "..bBBbb..8bwb..."
        "..bBBb....bbb..."
        ".bBBbb.........."
        ".bBBbbb........."
        ".bBBBbbbb....bb."
        ".bBBBBbbbbbbbtt."
        ".bttBBBBbbbtttt."
        "..8tttttttttt8.."
        "...8888888888..."
    },
];

pub(super) const TORNADO: &[Layer] = &[
    full! { 2:
        "..bbbbbbbbbbbb.."
        ".bBBBBBBBBBBbbb."
        "..88bbbbbbbb88.."
        "...BBBBBBBbbb..."
        "....8bbbbbbb...."
        "....BBBBbbb....."
        ".....8bbbb8....."
        "......BBBbbb...."
        ".......8bbb....."
        ".......BBb......"
        "......8bb......."
        "......bb........"
    },
    // Gusts.
    full! { 3:
        "........bbb....."
        ".......bbBbb...."
        "............Bb.."
        "..BBBBBBBBBBBb.."
        "..bbbbbbbbbbb..."
        "................"
        ".tTTTTTTTTt....."
        "..........Tt...."
        "..........tt...."
        "...bBBBBBb.tt..."
        ".........Bb....."
        "........bb......"
    },
];
