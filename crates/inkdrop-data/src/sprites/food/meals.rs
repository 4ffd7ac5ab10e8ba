//! Meat, fish, eggs and bowls.

use crate::sprites::canvas::{Layer, NOTHING, full, half};

pub(super) const DRUMSTICK: &[Layer] = &[
    full! { 2:
        ".......bbbbb...."
        ".....bbBBBbbb..."
        "....bBBBbbbbbb.."
        "....bBBbbbbbbb.."
        "....bBbbbbbbbb.."
        "....bbbbbbbbb8.."
        "....8bbbbbbbb8.."
        ".....8bbbbb88..."
        "....ww88888....."
        "..wwwww........."
        ".wwww..........."
        "..www..........."
        "...w............"
    },
    // Meat on the bone, both ends out.
    full! { 4:
        "..w.........w..."
        ".wwwbbbbbbbwww.."
        "..wbBBBbbbbbw..."
        "...bBBbbbbbb...."
        "...bBbbbbbbb...."
        "...bbbbbbbb8...."
        "..wbbbbbbbb8w..."
        ".wwwb8bbb88www.."
        "..w..8888...w..."
    },
];

pub(super) const STEAK: &[Layer] = &[
    full! { 3:
        ".....bbbbbbb...."
        "...bbBBBBBbbbb.."
        "..bBBwwwBBBBbb.."
        ".bBBwwowwBBBBbb."
        ".bBBBwwwBBBBBbb."
        ".bBBBBBBBBBBbbb."
        ".bbBBBBBBBbbbb8."
        "..bbbBBBbbbbb8.."
        "...88bbbbb888..."
        ".....88888......"
    },
    // Sausages.
    full! { 3:
        "..........bbbb.."
        "........bbBBbb.."
        "......bbBBbbb..."
        "....bbBBbbb8...."
        "..bbBBbbb8.bbb.."
        ".bBBbbb8.bbBBbb."
        ".bbbb8.bbBBbbb8."
        "..88.bbBBbbb88.."
        "...bbBBbbb8....."
        "...bBbbb8......."
        "....888........."
    },
];

pub(super) const FISH: &[Layer] = &[
    full! { 4:
        "......ttt......."
        "....bbbbbb......"
        "..bbBBBBbbb...b."
        ".bBBBBBbbbbb.bb."
        ".bwoBbb8bbbbbbb."
        ".bbbbb8bbb8bbb.."
        ".oobbbb8bbbb8bb."
        "..8bbbbbbb8..8b."
        "....8b888.....8."
        "......tt........"
    },
    // Flat, with stripes.
    full! { 3:
        "......tttt......"
        "....bbbtbbb....."
        "..bbBBtBbbtb..t."
        ".bBwoBtBbbtb.tt."
        ".bBwoBtbbbtbttt."
        ".bbbbbtbbbtbtt.."
        ".oobbbtbbbtbttt."
        "..8bbbtbbbt8.tt."
        "....8bbtbb8...7."
        "......777......."
    },
];

pub(super) const EGG: &[Layer] = &[
    // Fried.
    full! { 4:
        "....wwww........"
        "..wwwwwwwwww...."
        ".wwwwtttwwwwww.."
        ".wwwtTTttwwwww.."
        ".wwwtTtttwwwwww."
        "..wwtttt7wwwwww."
        ".wwwwt77wwwwww.."
        ".3wwwwwwwwww33.."
        "..333wwww333...."
        "....333333......"
    },
    // In its shell.
    half! { 2:
        "......bb"
        ".....bBB"
        "....bBBb"
        "...bBBbb"
        "...bBbbb"
        "..bBbbbb"
        "..bbbbbb"
        "..bbbbbb"
        "..bbbbbb"
        "...8bbbb"
        "....888b"
        "......88"
    },
    // Painted.
    half! { 2:
        "......bb"
        ".....bBB"
        "....bBBb"
        "...tTttt"
        "...tttlt"
        "..bBbbbb"
        "..bbbbbb"
        "..tTtttt"
        "..ttlttl"
        "...8bbbb"
        "....888b"
        "......88"
    },
];

pub(super) const SOUP: &[Layer] = &[
    half! { 6:
        "..mmmmmm"
        ".mtTtttt"
        ".mttttlt"
        ".mMmmmmm"
        ".mMmmmmm"
        "..mmmmmm"
        "..3mmmmm"
        "....3333"
        "....mmmm"
    },
    // Rice.
    half! { 4:
        "....wwww"
        "..wwwwww"
        ".wwwlwwt"
        ".mMmmmmm"
        ".mMmmmmm"
        ".mmggggg"
        "..mmmmmm"
        "..3mmmmm"
        "....3333"
        "....mmmm"
    },
    // A pan.
    full! { 7:
        ".tTttttttttt...."
        "mtttlttttlttm..."
        "mMmmmmmmmmmmmlll"
        "mMmmmmmmmmmmm111"
        "mmmmmmmmmmmm3..."
        ".3mmmmmmmmm3...."
        "..333333333....."
    },
];

pub(super) const STEAM: &[Layer] = &[
    NOTHING,
    full! { 1:
        "....3.....3....."
        ".....3.....3...."
        "....3.....3....."
    },
];

pub(super) const SUSHI: &[Layer] = &[
    full! { 4:
        "....bbbbbbb....."
        "..bbBBwBBwbbbb.."
        ".bBBwbbwbbwbbbb."
        ".bBwbbwbbwbbbbb."
        ".bbwbbwbbwbbb88."
        ".8wwwwwwwwwww88."
        "..wwwwwwwwwwww.."
        "..3wwwwwwwwww3.."
        "...3333333333..."
    },
    // Rolls.
    half! { 3:
        "....1111"
        "..111www"
        ".11wwwww"
        ".1wwwbbb"
        ".1wwbBtt"
        ".1wwbbtt"
        ".11wwwww"
        ".111wwww"
        ".1111111"
        ".1l11111"
        "..111111"
    },
];
