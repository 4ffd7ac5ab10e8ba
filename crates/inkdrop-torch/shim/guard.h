// C++ exceptions end here: what is thrown becomes a text for Rust.
#pragma once
#include "text.h"

#include <c10/core/GradMode.h>
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

// Throws in the backward pass of a function of our own if its gradients would be differentiated, too: they
// have no graph.
inline void refuse_create_graph(const char *what) {
  TORCH_CHECK(!c10::GradMode::is_enabled(), what, " has no gradients of gradients (create_graph)");
}
