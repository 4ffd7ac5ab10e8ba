//! Magic objects: potions, books, wands.

use crate::sprites::canvas::{Layer, full, half};

pub(super) const ARROW: &[Layer] = &[
    full! { 1:
        ".........bbbbb.."
        "..........bBBb.."
        ".........bBwBb.."
        "........bBwBbb.."
        ".......bBwBb.b.."
        "......bBwBb....."
        ".....bBwBb......"
        "....bBwBb......."
        "..tbBwBb........"
        "..tTBBb........."
        ".ttTTb.........."
        ".tTTtt.........."
        "..ttt..........."
    },
    half! { 1:
        ".......b"
        "......bB"
        ".....bBB"
        "....bBBB"
        "...bbbBB"
        "......BB"
        "......Bw"
        "......Bw"
        "......BB"
        "......BB"
        "....t.BB"
        "....ttBB"
        "....tTtb"
        ".....tt."
    },
];

pub(super) const WAND: &[Layer] = &[
    full! { 1:
        "...........b...."
        "...........b...."
        ".........bbBbb.."
        "..........BwB..."
        ".........bBBBb.."
        ".......ll.b.b..."
        "......lLl......."
        ".....lLl........"
        "....lLl........."
        "...lLl.........."
        "..tTl..........."
        ".tTt............"
        "..t............."
    },
    full! { 1:
        "..........bbb..."
        ".........bBBbb.."
        ".........bBwbb.."
        ".........bbbbb.."
        "........mmbbb..."
        ".......lm......."
        "......lLl......."
        ".....lLl........"
        "....lLl........."
        "...lLl.........."
        "..mLl..........."
        "..mm............"
    },
];

pub(super) const POTION: &[Layer] = &[
    half! { 1:
        "......ll"
        "......ll"
        ".....www"
        "......ww"
        "......wB"
        ".....bBB"
        "....bBBb"
        "...bBBbb"
        "...bBwbb"
        "...bwbbb"
        "...bbbbb"
        "...8bbbb"
        "....8888"
    },
    // A slender flask.
    half! { 1:
        "......ll"
        ".....www"
        "......ww"
        "......ww"
        ".....www"
        "....wBBB"
        "....bBtb"
        "....bBbb"
        "....bwbt"
        "....bwbb"
        "....btbb"
        "....8bbb"
        ".....888"
    },
];

pub(super) const SCROLL: &[Layer] = &[
    full! { 2:
        "..wwwwwwwwwwww.."
        ".ww3wwwwwwwww3w."
        "..33wwwwwwwww33."
        "...wwwbbbbwwww.."
        "...wwbBwwbbwww.."
        "...wwbwttwbwww.."
        "...wwbwttwbwww.."
        "...wwbbwwbbwww.."
        "...wwwbbbbwwww.."
        "..wwwwwwwwwwww.."
        ".ww3wwwwwwwww3.."
        "..333333333333.."
    },
    // A closed book.
    full! { 1:
        "..bbbbbbbbbbb..."
        ".bbBBBBBBBBBbb.."
        ".b8BBBBtBBBBbb.."
        ".b8BBBtTtBBBbb.."
        ".b8BBtTwTtBBbb.."
        ".b8BBBtTtBBBbb.."
        ".b8BBBBtBBBBbb.."
        ".b8BBBBBBBBBbb.."
        ".b8bbbbbbbbbbb.."
        ".b8wwwwwwwwwww.."
        ".b83333333333..."
        "..bbbbbbbbbbbb.."
    },
];

pub(super) const SWORD: &[Layer] = &[full! { 1:
    "............BBB."
    "...........BwBb."
    "..........BwBb.."
    ".........BwBb..."
    "........BwBb...."
    ".......BwBb....."
    "......BwBb......"
    "..t..BwBb......."
    "..ttBwBb........"
    "...ttBb........."
    "....tt.........."
    "..tT.tt........."
    ".tT............."
    ".tt............."
}];
