// Texts that go to Rust: C only.
#pragma once
#include <cstddef>

extern "C" {

// A copy of a text of this length, to be freed with inkdrop_free.
char *inkdrop_text(const char *text, size_t length);
void inkdrop_free(char *text);
}
