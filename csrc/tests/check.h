// The least that a test needs: a condition, the line it stands on, and a non-zero exit.
#pragma once

#include <cstdio>
#include <cstdlib>

inline void check(bool holds, const char* claim, int line) {
  if (holds) return;
  std::fprintf(stderr, "line %d: not so: %s\n", line, claim);
  std::exit(1);
}

#define CHECK(condition) check((condition), #condition, __LINE__)
