//! Bodies in profile, walking to the right.

use crate::sprites::canvas::{Layer, full};

pub(super) const ALL: &[Layer] = &[
    // Tunic, long stride.
    full! { 9:
        "......tTtt......"
        ".....tTTttt....."
        ".....t7Tt7s....."
        ".....lllllg....."
        "....tt7.ttt....."
        "...ll....lll...."
    },
    // Tunic, passing.
    full! { 9:
        "......tTtt......"
        ".....tTTttt....."
        ".....7sTtt7....."
        ".....lllllg....."
        ".....tt.ttt....."
        ".....ll.lll....."
    },
    // Plate, long stride.
    full! { 9:
        ".....mMMmm......"
        "....mmM3mmm....."
        ".....m3m3ms....."
        ".....lllllg....."
        "....mm3.mmm....."
        "...mm....mmm...."
    },
    // Plate, passing.
    full! { 9:
        ".....mMMmm......"
        "....mMM3mmm....."
        ".....33smm3....."
        ".....lllllg....."
        ".....mm.mm3....."
        ".....mm.mmm....."
    },
    // Robe.
    full! { 9:
        "......tTtt......"
        ".....tTT7tt....."
        ".....tTt7ts....."
        ".....tTttt7....."
        "....tTttttt....."
        "....bbbbbbbb...."
    },
    // Dress.
    full! { 9:
        "......tTss......"
        ".....tTs5tt....."
        ".....tT5ssg....."
        ".....bbbbb......"
        "....tTttttt....."
        "...tTt7tt7tt...."
    },
    // Vest and trousers.
    full! { 9:
        "......tTbb......"
        ".....tTsbb......"
        ".....tT5sbs....."
        ".....lllllg....."
        "....ll1.lll....."
        "...bb....bbb...."
    },
    // Bare chest.
    full! { 9:
        "......sSss......"
        ".....sS5sss....."
        ".....s5sss5....."
        ".....lllllg....."
        "....tt7.ttt....."
        "...ss....sss...."
    },
    // Tabard.
    full! { 9:
        "......mTtt......"
        ".....mm3tg......"
        ".....m3stgg....."
        ".....lllllg....."
        ".....tTttt......"
        "....mm..mmm....."
    },
];
