//! Faces and hair in profile, facing right.

use crate::sprites::canvas::{Layer, NOTHING, full};

pub(super) const FACES: &[Layer] = &[
    full! { 2:
        ".....ssssss....."
        "....sSSSssss...."
        "....sSSsssss...."
        "....ssssssss...."
        "....ssssssos...."
        "....sssssskss..."
        ".....5sssss....."
    },
    // Pointed ear.
    full! { 2:
        ".....ssssss....."
        "....sSSSssss...."
        "....sSSsssss...."
        "...sssssssss...."
        "....s5ssssos...."
        "....sssssskss..."
        ".....5sssss....."
    },
];

pub(super) const UNDER_HATS: &[Layer] = &[SHORT, LONG, TAIL];

pub(super) const HAIR: &[Layer] = &[SHORT, LONG, TAIL, SPIKY, BUN, MOHAWK, BOB, CROPPED, CURLS];

const SHORT: Layer = full! { 1:
    ".....hhHHhh....."
    "....hHHHhhhh...."
    "...hHHhhhhhhh..."
    "...hHhhhhh4h...."
    "...hhhhh4......."
    "...hhh4........."
    "....h4.........."
};

const LONG: Layer = full! { 1:
    ".....hhHHhh....."
    "....hHHHhhhh...."
    "...hHHhhhhhhh..."
    "..hHHhhhhh4h...."
    "..hHhhhh4......."
    "..hHhhh........."
    "..hhhh4........."
    "..hhhh.........."
    "..hhh4.........."
    "..4h4..........."
    "...4............"
};

const TAIL: Layer = full! { 1:
    ".....hhHHhh....."
    "....hHHHhhhh...."
    "..bhHHhhhhhhh..."
    ".hhbHhhhhh4h...."
    ".hHhhhhh4......."
    ".hHhhh4........."
    ".hh.h4.........."
    ".hh............."
    ".4.............."
};

const SPIKY: Layer = full! { 1:
    "...h..hh.hh....."
    "...hhhHHhhhh...."
    "..hhHHHhhhhhhh.."
    "...hHhhhhhh4h..."
    "..hhhhhh4.4....."
    "...hhh4........."
    "..h.h4.........."
};

const BUN: Layer = full! { 1:
    "..hhhhHHhhh....."
    ".hHhhHHhhhhh...."
    ".hhhHHhhhhhhh..."
    "..hhHhhhh4hh...."
    "....hhh4........"
    "....hh.........."
    "....h4.........."
};

const MOHAWK: Layer = full! { 1:
    "....hhHhHhh....."
    "...hhHHHHhhh...."
    "...hh4444444...."
    "...h4..........."
    "...4............"
};

const BOB: Layer = full! { 1:
    ".....hhHHhh....."
    "....hHHHhhhh...."
    "...hHHhhhhhhh..."
    "...hHhhhhhhhh..."
    "...hHhhhh444...."
    "...hhhhhh......."
    "...4hhhh4......."
    "....4444........"
};

const CROPPED: Layer = full! { 1:
    ".....hhHHhh....."
    "....hHHhhhhh...."
    "....hHhh44444..."
    "....hh4........."
    "....h4.........."
};

const CURLS: Layer = full! { 1:
    "....hhHhhHhh...."
    "...hHHhHHhhhh..."
    "..hHHhhhhhhhhh.."
    "..hHhhhhhh4hh..."
    "..hhhhhhh4......"
    "..hhhhhh........"
    "..4hhh4........."
    "...44..........."
};

pub(super) const BEARDS: &[Layer] = &[
    NOTHING,
    NOTHING,
    NOTHING,
    NOTHING,
    NOTHING,
    full! { 7:
        "......hhh......."
        ".....hhhhhhh...."
        ".......hhhhh...."
        "........4h......"
    },
    full! { 8:
        "........hhhh...."
    },
];
