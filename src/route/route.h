/* Routing: which model a call runs on. A pure decision over plain structs, by the route hook or the least-loaded default; and
 * the network floor, what distance alone costs. */
#ifndef LLMC_ROUTE_H
#define LLMC_ROUTE_H

#include "core/error.h"

/* Light in fiber travels at 200,000 km/s: 5 us a km, one way. Real paths are longer than the straight line by about half
 * (measured median of Internet routes). */
#define LLMC_ROUTE_NS_PER_KM       5000.0
#define LLMC_ROUTE_INFLATION       1.5
#define LLMC_ROUTE_MAX_DISTANCE_KM 1000000.0

/* Asks hooks->route (hooks and the hook may be NULL: llmcall_default_route). *index becomes the index of one of the
 * candidates; an answer that is none of them is E_INTERNAL. On failure error is filled and *index is -1. On the caller's
 * thread; no lock may be held. */
llmcall_status llmc_route_choose(const llmc_env *env, const llmcall_hooks *hooks, const llmcall_route_request *request,
                                 int32_t *index, llmcall_error *error);

/* Both ways. 0 for negative distances and NaN; distances above the cap count as the cap. */
int64_t llmc_route_network_ns(double distance_km);

#endif
