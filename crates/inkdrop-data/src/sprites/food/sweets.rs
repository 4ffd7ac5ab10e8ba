//! Cakes, ice and candy.

use crate::sprites::canvas::{Layer, NOTHING, full, half};

pub(super) const CUPCAKE: &[Layer] = &[
    half! { 1:
        ".......l"
        "......ll"
        ".....ttt"
        "....tTTt"
        "...ttttt"
        "..tTTttt"
        "..tTtttt"
        ".tTttttt"
        ".7777777"
        "..b8bb8b"
        "..b8bb8b"
        "..b8bb8b"
        "...8bb8b"
    },
    half! { 2:
        "....tttt"
        "...tTTtt"
        "..tTtltt"
        ".tTttttt"
        ".ttltttl"
        ".tttttlt"
        ".7tt7tt7"
        "..b7bb7b"
        "..bbbb8b"
        "..b8bb8b"
        "...8bb8b"
    },
];

pub(super) const CAKE: &[Layer] = &[
    // A slice.
    full! { 3:
        "..........ll...."
        "........ttlltt.."
        "......ttTTTTTt.."
        "...tttTTTTTTTt.."
        ".ttTTTTTTTTTTt.."
        ".tttttttttttt7.."
        ".bBbbbbbbbbbb8.."
        ".twwwwwwwwwww7.."
        ".bBbbbbbbbbbb8.."
        ".8888888888888.."
    },
    // A whole cake with candles.
    half! { 1:
        "....g..g"
        "....l..l"
        "....l..l"
        "..tttttt"
        ".tTTTttt"
        ".tTttttt"
        ".ttt7ttt"
        ".t7bb7tt"
        ".7bBbb7b"
        ".bBbbbbb"
        ".wwwwwww"
        ".bBbbbbb"
        "..888888"
    },
];

pub(super) const CONE: &[Layer] = &[
    half! { 1:
        "......tt"
        "....ttTt"
        "...tTTtt"
        "...tTttt"
        "..tttttt"
        "..7t7tt7"
        "...7.777"
        "...bBb8b"
        "...bb8bb"
        "....b8bb"
        "....8bb8"
        ".....bb8"
        "......8b"
        ".......8"
    },
    // Two scoops.
    full! { 1:
        "........ll......"
        "......ttll......"
        ".....tTTttt....."
        "....tTTttttt...."
        "....tTtttttt...."
        "...lltttt777l..."
        "..lLLlll7lllll.."
        "..lLllllllllll.."
        "..1lll1lll11l1.."
        "....bBb8bb8b...."
        "....bb8bb8bb...."
        ".....8bb8bb....."
        "......bb8b......"
        ".......88......."
    },
    // On a stick.
    half! { 1:
        ".....ttt"
        "....tTTt"
        "...tTTtt"
        "...tTttt"
        "...tTttt"
        "...ttttt"
        "...llLll"
        "...lllll"
        "...lllll"
        "...11111"
        "......bb"
        "......bb"
        "......b8"
        "......88"
    },
];

pub(super) const DONUT: &[Layer] = &[half! { 2:
    ".....ttt"
    "...ttTTT"
    "..tTTttt"
    ".tTTtttt"
    ".tTttt7o"
    ".tttttoo"
    ".ttttboo"
    ".7ttttbb"
    ".b7ttttt"
    "..b777t7"
    "...8bb7b"
    ".....888"
}];

pub(super) const SPRINKLES: &[Layer] = &[
    NOTHING,
    full! { 3:
        "....l....w......"
        "..........l....."
        "...w........w..."
        "...........l...."
        "..l............."
        "............w..."
        "...w..l........."
        "....l....w.l...."
    },
    full! { 4:
        "....ww....ww...."
        "..ww........ww.."
        "................"
        "..w..........w.."
        "...ww......ww..."
        ".....wwwwww....."
    },
];

pub(super) const LOLLY: &[Layer] = &[
    full! { 1:
        "......tttt......"
        "....ttTTTTtt...."
        "...tTTllllTtt..."
        "...tTlttttltt..."
        "...tltTlltltt..."
        "...tltltltltt..."
        "...ttltttltt7..."
        "....ttllltt7...."
        "......7777......"
        ".......bb......."
        ".......bb......."
        ".......b8......."
        ".......b8......."
        ".......88......."
    },
    // A wrapped sweet.
    full! { 4:
        "..........t..t.."
        "......lll.tTtt.."
        "....llLLttltt..."
        "...lLLttllt77..."
        "...ltttlltt1...."
        "..tttlllttl1...."
        ".ttllltttl1....."
        ".tT7lttll11....."
        "..t7t1111......."
        "..t.7..........."
    },
];

pub(super) const COOKIE: &[Layer] = &[
    half! { 2:
        ".....bbb"
        "...bbBBb"
        "..bBtBbb"
        ".bBBBbbb"
        ".bBbbbtt"
        ".bbbbbtt"
        ".bttbbbb"
        ".bttbbbb"
        ".8bbbbtb"
        "..8bbbbb"
        "...88bbb"
        ".....888"
    },
    // A gingerbread man.
    half! { 1:
        ".....bbb"
        "....bBBb"
        "....bobb"
        "....bbbo"
        ".....bbb"
        ".bbbbbbb"
        ".bBbbbbt"
        "..88bbbb"
        "....bbbt"
        "....bbbb"
        "...bBbbb"
        "...ttbb."
        "...888.."
    },
];

pub(super) const PUDDING: &[Layer] = &[
    half! { 2:
        ".......l"
        "......lL"
        "....tttt"
        "...tTTtt"
        "...tTttt"
        "...7t7t7"
        "...b7b7b"
        "..bBBbbb"
        "..bBbbbb"
        "..bbbbbb"
        ".8bbbbbb"
        ".8888888"
    },
    // Pancakes.
    half! { 3:
        "......ww"
        "...bbbww"
        ".bBBtttt"
        ".bbtTttt"
        ".88tt888"
        ".bBt7bbb"
        ".8bbb888"
        ".bBbbbbb"
        ".8bbb888"
        ".bBbbbbb"
        "..888888"
    },
];
