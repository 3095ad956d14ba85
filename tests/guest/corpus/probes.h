/* Probes: what the corpus of patches is observed by. A probe is a function without arguments whose value a patch may
   change; apart from that it's the same in every round. probes.def has their names. */
#ifndef CORPUS_PROBES_H
#define CORPUS_PROBES_H

#ifdef __cplusplus
#define CORPUS_C extern "C"
#else
#define CORPUS_C extern
#endif

#define PROBE(name) CORPUS_C long probe_##name(void);
#include "tests/guest/corpus/probes.def"
#undef PROBE

#endif
