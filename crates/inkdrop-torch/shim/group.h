// A process group as Rust holds it.
#pragma once
#include "measured.h"
#include "nccl.h"

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

namespace inkdrop {
struct Group {
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  std::shared_ptr<AllReduces> all_reduces;
  c10::intrusive_ptr<Nccl> nccl; // none without GPUs
};
} // namespace inkdrop
