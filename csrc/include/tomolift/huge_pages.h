// Fresh memory of many megabytes costs more in page faults than in writing: 2 MiB pages have 512
// times fewer.
#pragma once

#include <cstdint>

namespace tomolift {

// Asks the system for huge pages within [begin, begin + bytes), not yet written; a hint, which
// changes no content and may be refused.
void advise_huge_pages(void* begin, int64_t bytes);

}  // namespace tomolift
