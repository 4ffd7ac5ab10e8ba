//! Hair of heroes.

use crate::sprites::canvas::{Layer, full, half};

pub(super) const UNDER_HATS: &[Layer] = &[SHORT, LONG, BOB, TAILS];

pub(super) const ALL: &[Layer] =
    &[SHORT, LONG, BOB, TAILS, SPIKY, PARTED, AFRO, MOHAWK, BUNS, SWEPT, CROPPED];

const SHORT: Layer = half! { 1:
    "....hHHh"
    "...hHHhh"
    "...hHhhh"
    "...hh4hh"
    "...h4..."
    "...4...."
};

const LONG: Layer = half! { 1:
    "....hHHh"
    "...hHHhh"
    "..hHHhhh"
    "..hHhh4h"
    "..hh4..."
    "..hh...."
    "..hh...."
    "..hh...."
    "..4h...."
    "...4...."
};

const BOB: Layer = half! { 1:
    "....hHHh"
    "...hHHhh"
    "..hHHhhh"
    "..hHhhhh"
    "..hh4444"
    "..hh...."
    "..4h...."
    "...4...."
};

const TAILS: Layer = half! { 1:
    "....hHHh"
    "...hHHhh"
    "...hHhhh"
    ".h.hhh4h"
    ".Hhh4..."
    ".Hh....."
    ".hh....."
    ".hh....."
    ".4......"
};

const SPIKY: Layer = half! { 1:
    "...h..hh"
    "..hhhHHh"
    "...hHHhh"
    "..hhHhhh"
    "...h4h4h"
    "...4...."
};

const PARTED: Layer = full! { 1:
    "....hHHhhhhh...."
    "...hHHhhhhhhh..."
    "...hHhhh4hhhh..."
    "...hhh4...4hh..."
    "...h4......hh..."
    "...4........4..."
};

const AFRO: Layer = half! { 1:
    "...hhHHh"
    "..hHHHhh"
    ".hHHhhhh"
    ".hHhhhhh"
    ".hhh4444"
    ".hh....."
    "..4....."
};

const MOHAWK: Layer = half! { 1:
    "......hH"
    "......hH"
    "......hh"
    "......4h"
};

const BUNS: Layer = half! { 1:
    "..hhhHHh"
    ".hHhHHhh"
    ".hhhHhhh"
    "...hh4hh"
    "...h4..."
    "...4...."
};

const SWEPT: Layer = full! { 1:
    "....hHHHhhh....."
    "...hHHhhhhhhh..."
    "...hHhhhhhhhhh.."
    "...hhhhhhh44hh.."
    "...h4h4h4..hh..."
    "...h........4..."
};

const CROPPED: Layer = half! { 1:
    "....hHHh"
    "...hHhhh"
    "...h4444"
    "...4...."
};
