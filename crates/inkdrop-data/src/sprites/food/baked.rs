//! Bread, cheese and what lies between or on them.

use crate::sprites::canvas::{Layer, full, half};

pub(super) const BREAD: &[Layer] = &[
    // A loaf.
    full! { 4:
        "....bbbbbbbb...."
        "..bbBBbbBBbbbb.."
        ".bBBb8BBb8BBbbb."
        ".bBb8bBb8bBb8bb."
        ".bbbbbbbbbbbbbb."
        ".bbbbbbbbbbbbb8."
        ".8bbbbbbbbbbbb8."
        "..888888888888.."
    },
    // A slice.
    half! { 3:
        "...bbbbb"
        "..bBBBBB"
        "..bBBBBB"
        "...bBBBB"
        "...bBBBB"
        "...bBBBB"
        "...bBBBB"
        "...bBBBB"
        "...bbbbb"
        "....8888"
    },
    // A slice with a spread.
    half! { 3:
        "...bbbbb"
        "..bBtttt"
        "..bttTTt"
        "...btTtt"
        "...btttt"
        "...bBttt"
        "...bBBtB"
        "...bBBBB"
        "...bbbbb"
        "....8888"
    },
    // A long loaf.
    full! { 2:
        "...........bbb.."
        ".........bbBBbb."
        "........bBBb8bb."
        ".......bB8bBBbb."
        "......bBBbBbbb.."
        ".....bb8BBbbb8.."
        "....bBBbB8bb8..."
        "...bB8bBbbb8...."
        "..bBBbBbbb8....."
        "..bBb8bbb8......"
        "..bbbbb88......."
        "...8888........."
    },
];

pub(super) const CHEESE: &[Layer] = &[
    full! { 4:
        "..........bbb..."
        ".......bbbBBBb.."
        "....bbbBBBBBBb.."
        ".bbbBBBBBBBBBb.."
        ".8888888888888.."
        ".bbbb8bbbbbbbb.."
        ".bb8bbbbb88bbb.."
        ".bbbbbbbb88bb8.."
        ".b88bbbbbbbbb8.."
        ".8888888888888.."
    },
    // A wheel with a slice out.
    full! { 4:
        "....bbbbbbbb...."
        "..bbBBBBBBBBbb.."
        ".bBBBBBBBBBbbbb."
        ".bBBBBo8oBBbbbb."
        ".8bbbo888obbb88."
        ".b888o8b8o888b8."
        ".bbbbo8b8obbbb8."
        ".8bbbo888obbb88."
        "...888...o888..."
    },
];

pub(super) const BURGER: &[Layer] = &[
    half! { 2:
        "....bbbb"
        "..bbBBbw"
        ".bBBwbbb"
        ".bBbbbbb"
        ".bbbbbbb"
        ".lLlllll"
        "..tTtttt"
        ".1111111"
        ".1111111"
        ".bBbbbbb"
        ".bbbbbbb"
        "..888888"
    },
    // With cheese hanging out.
    half! { 3:
        "....bbbb"
        "..bbBBwb"
        ".bBBbbbb"
        ".bbbbbbb"
        ".tTttttt"
        ".tttlttt"
        ".1111111"
        ".lLlllll"
        ".bBbbbbb"
        "..888888"
    },
    // A hot dog.
    full! { 4:
        "...........ttt.."
        "........bbttTtb."
        "......bbtTttbbb."
        "....bbttttlbbb8."
        "...bttTttlbbb8.."
        "..bbTttlbbbb8..."
        ".tttttbbbb8....."
        ".tt7bbbb8......."
        "..bbb88........."
        "...88..........."
    },
];

pub(super) const PIZZA: &[Layer] = &[
    half! { 2:
        "...bbbbb"
        ".bbBBBBB"
        ".bbbbbbb"
        ".8tttttt"
        "..tTlltt"
        "..ttlltt"
        "...ttttt"
        "...tTttl"
        "....tttl"
        "....tttt"
        ".....7tt"
        "......tt"
        ".......7"
    },
    // Whole.
    half! { 2:
        ".....bbb"
        "...bbBBB"
        "..bBtttt"
        ".bBtlttt"
        ".bBtttlt"
        ".bttttlt"
        ".btltttt"
        ".bbttttl"
        ".8btltt7"
        "..8btttt"
        "...88bbb"
        ".....888"
    },
];

pub(super) const TACO: &[Layer] = &[
    half! { 3:
        "....l.tl"
        "..tlLtLt"
        ".tlbbbbb"
        ".lbBBBBb"
        ".bBBBbbb"
        ".bBBbbbb"
        ".bBbbbbb"
        ".bbbbbbb"
        ".8bbbbbb"
        "..888888"
    },
    // A sandwich.
    full! { 3:
        ".........bbbb..."
        "......bbbBBBBb.."
        "...bbbBBBBBBBb.."
        ".bbBBBBBBBBBBb.."
        ".bbbbbbbbbbbbb.."
        ".lLlllllllllll.."
        ".tTttttttttttt.."
        ".wwwwwwwwwwwww.."
        ".bBbbbbbbbbbbb.."
        ".8888888888888.."
    },
];
