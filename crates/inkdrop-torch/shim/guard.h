// C++ exceptions end here: what is thrown becomes a text for Rust.
#pragma once
#include "text.h"

#include <c10/util/Exception.h>

#include <string>

// Runs `body`; what it throws becomes a text.
template <typename Body>
int guarded(char **error, Body body) noexcept {
  std::string text;
  try {
    body();
    return 0;
  } catch (const c10::Error &thrown) {
    text = thrown.what();
  } catch (const std::exception &thrown) {
    text = thrown.what();
  } catch (...) {
    text = "an exception of unknown type";
  }
  *error = inkdrop_text(text.data(), text.size());
  return 1;
}
