//! Fruit and vegetables.

use crate::sprites::canvas::{Layer, NOTHING, full, half};

pub(super) const APPLE: &[Layer] = &[
    full! { 2:
        "........1ll....."
        "........1lLl...."
        "....bbbb1bbbb..."
        "...bBBbb1bbbbb.."
        "..bBBBbbbbbbbb.."
        "..bBBbbbbbbbbb.."
        "..bBbbbbbbbbb8.."
        "..bbbbbbbbbbb8.."
        "..bbbbbbbbbb88.."
        "...bbbbbbbbb8..."
        "....8bbbbbb8...."
        ".....888888....."
    },
    full! { 3:
        ".......11......."
        "....bbbb1bbbb..."
        "...bBBbb1bbbbb.."
        "..bBBBbbbbbbbb.."
        "..bBBbbbbbbbbb.."
        "..bBbbbbbbbbb8.."
        "..bbbbbbbbbbb8.."
        "..bbbbbbbbbb88.."
        "...bbbbbbbbb8..."
        "....8bbbbbb8...."
        ".....888888....."
    },
];

pub(super) const BITES: &[Layer] = &[
    NOTHING,
    NOTHING,
    full! { 6:
        "............___."
        "..........owwo_."
        ".........owww___"
        "..........owo___"
        "............o___"
    },
];

pub(super) const CHERRY: &[Layer] = &[
    full! { 2:
        ".........lll...."
        "........1lLll..."
        ".......11..ll..."
        "......1..1......"
        ".....1...1......"
        "....1.....1....."
        "..bbbb....1....."
        ".bBBbbb.bbbbb..."
        ".bBbbbbobBBbbb.."
        ".bbbbbbobBbbbb.."
        ".8bbbb8obbbbbb.."
        "..8888.o8bbbb8.."
        "........88888..."
    },
    full! { 2:
        "........1......."
        "........1......."
        ".......1.1......"
        "......1...1....."
        ".....1....1....."
        ".....1.....1...."
        "..bbbbb.....1..."
        ".bBBbbbb..bbbb.."
        ".bBbbbbbobBBbbb."
        ".bbbbbbbobBbbbb."
        ".8bbbbb8obbbbbb."
        "..88888.o8bbb8.."
        ".........o888..."
    },
];

pub(super) const PEAR: &[Layer] = &[full! { 1:
    "........1......."
    ".......1.ll....."
    "......bbblLl...."
    ".....bBBbb......"
    ".....bBbbb......"
    ".....bBbbb......"
    "....bBBbbbb....."
    "...bBBBbbbbb...."
    "...bBBbbbbbb8..."
    "...bBbbbbbbb8..."
    "...bbbbbbbbb8..."
    "....8bbbbbb8...."
    ".....888888....."
}];

pub(super) const BANANA: &[Layer] = &[
    full! { 2:
        "...........1l..."
        "...........bl..."
        "..........bBb..."
        "..........bBbb.."
        "..........bBbb.."
        ".........bBBbb.."
        "........bBBbbb.."
        "..l...bbBBbbb8.."
        "..bbbbBBBbbbb8.."
        "...bBBBbbbbb8..."
        "....bbbbbb88...."
        "......8888......"
    },
    // A pair of peppers, or two bananas.
    full! { 2:
        ".......lll......"
        ".......1l1......"
        ".....bbblbbb...."
        "....bBbobBbbb..."
        "...bBBbobBBbbb.."
        "...bBbbobBbbbb.."
        "..bBBbbobBbbbb.."
        "..bBbbb.obBbbb.."
        "..bBbb8.obbbbb.."
        "..bbbb...obbb8.."
        "...bb8...o8b8..."
        "....8......8...."
    },
];

pub(super) const GRAPES: &[Layer] = &[full! { 1:
    ".......1........"
    ".......1lll....."
    "...bb.b1lLlb...."
    "..bBbobBbobBbb.."
    "..bbbobbbobbbb.."
    "...8oobb8oo88..."
    "...obBbobBbo...."
    "....bbbobbb8...."
    "....8bo8boo....."
    ".....obBbo......"
    "......bbb8......"
    "......8bb8......"
    ".......88......."
}];

pub(super) const CARROT: &[Layer] = &[full! { 1:
    "..........l..l.."
    ".......l..lLl..."
    ".......lL.lll..."
    "........lLlll..."
    "......bbblllLll."
    ".....bBBbbllll.."
    "....bBBbb8bb...."
    "....bBb8bbb8...."
    "...bBBbbbb8....."
    "...bb8bbb8......"
    "..bBbbb88......."
    "..bbb88........."
    ".bb8............"
}];

pub(super) const MELON: &[Layer] = &[
    half! { 4:
        ".lbbbbbb"
        ".lbBBbbb"
        ".lbBbobb"
        ".lwbbbbb"
        "..lwbbbo"
        "..llwwbb"
        "...llwww"
        ".....lll"
        "......11"
    },
    full! { 2:
        ".......bb......."
        "......bBbb......"
        "......bBbb......"
        ".....bBBobb....."
        ".....bobbbb....."
        "....bBbbbbbb...."
        "....bBbbobbb...."
        "...bBobbbbbbb..."
        "...bbbbbbbobb..."
        "..wwwbbbbbbwww.."
        "..lllwwwwwwlll.."
        "....1lllllll...."
    },
];

pub(super) const STRAWBERRY: &[Layer] = &[half! { 2:
    ".......l"
    "....ll.l"
    "...bLlll"
    "..bBblll"
    "..bBBbbl"
    "..bBbbwb"
    "..bwbbbb"
    "..bbbbbb"
    "...bbwbb"
    "...8bbbw"
    "....8bbb"
    ".....8bb"
    "......88"
}];

pub(super) const TOMATO: &[Layer] = &[
    half! { 3:
        "....l..l"
        "...bbllL"
        "..bBBlll"
        ".bBBBbbl"
        ".bBBbbbb"
        ".bBbbbbb"
        ".bbbbbbb"
        ".bbbbbbb"
        "..8bbbbb"
        "...88888"
    },
    // A pumpkin.
    half! { 2:
        ".......l"
        "......ll"
        "...bbbLl"
        "..bBb8bb"
        ".bBb8bBb"
        ".bBb8bBb"
        ".bBb8bbb"
        ".bbb8bbb"
        ".bbb8bbb"
        "..8bb8bb"
        "...88888"
    },
];

pub(super) const MUSHROOM: &[Layer] = &[half! { 3:
    ".....ttt"
    "...ttTTt"
    "..tTTttt"
    ".tTTtttw"
    ".tTtwwtw"
    ".tttwwtt"
    ".7777777"
    "....bBbb"
    "....bBbb"
    "....bbbb"
    ".....888"
}];
