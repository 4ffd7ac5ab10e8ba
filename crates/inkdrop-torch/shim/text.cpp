// Texts that go to Rust.

#include "text.h"

#include <cstdlib>
#include <cstring>

char *inkdrop_text(const char *text, size_t length) {
  char *copy = static_cast<char *>(std::malloc(length + 1));
  if (copy == nullptr) return nullptr;
  std::memcpy(copy, text, length);
  copy[length] = '\0';
  return copy;
}

void inkdrop_free(char *text) { std::free(text); }
