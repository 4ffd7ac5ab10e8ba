//! Hats in profile, facing right.

use crate::sprites::canvas::{Layer, full};

pub(super) const ALL: &[Layer] = &[
    // Knight.
    full! { 1:
        ".....mmMMmm....."
        "....mMMMmmmm...."
        "...mMMmmmmmmm..."
        "...mMmmmmmmmg..."
        "...mmm3333333..."
        "...mmm3........."
        "...3mm33........"
        "....333........."
    },
    // With a plume.
    full! { 1:
        ".bbb.mmMMmm....."
        "bBBbmMMMmmmm...."
        "bBbmMMmmmmmmm..."
        "bb.mMmmmmmmmm..."
        "8..3333333333..."
        "...mm3.........."
        "....3..........."
    },
    // Pointed.
    full! { 1:
        "...bb..........."
        "....bbbb........"
        ".....bBBbb......"
        "....bBBbbbb....."
        "....gGgggggg...."
        "..bbBbbbbbbbbb.."
    },
    // Cap with a peak.
    full! { 1:
        ".....bbBBbb....."
        "....bBBBbbbb...."
        "...bBBbbbbbbb..."
        "...bBbbbbbbbb..."
        "...8888888bbbb.."
        "..........8888.."
    },
    // Hood.
    full! { 1:
        "....bbBBbbb....."
        "...bBBBbbbbb...."
        "..bBBbbbbbbbb..."
        "..bBbbbbb8888..."
        "..bBbbb8........"
        "..bbbb8........."
        "..bbbb8........."
        "...bbbb8........"
    },
    // Crown.
    full! { 1:
        "....G..G..G....."
        "....gGggGgg....."
        "....66666666...."
    },
    // Band with loose ends.
    full! { 3:
        "...bBBbbbbbbb..."
        "..b888888888...."
        ".bb8............"
        ".b.b............"
    },
    // Horned.
    full! { 1:
        "....G..........."
        "...gGmmMMmm....."
        "...ggMMMmmmm...."
        "....6MmmmmmMm..."
        "....33333333m..."
    },
    // Feathered.
    full! { 1:
        "..tt.bbbbb......"
        "..tTtbBBbbb....."
        "...tTtBbbbbb...."
        "....tTggggggg..."
        "..bbbt7bbbbbbb.."
        "...888888888...."
    },
];
