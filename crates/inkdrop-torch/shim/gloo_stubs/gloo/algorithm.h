// Gloo's headers are not part of libtorch, and ProcessGroupGloo.hpp only names their types. These five
// files declare what it names; nothing here is defined, and libtorch's own Gloo does the work.
#pragma once
