"""Leiden communities: moves of single nodes, merges within communities, and the graph of what was merged.

A graph is symmetric weights in compressed rows, uint32 indices and uint64 pointers; weights of zero are no links, and
links of a node to itself are not looked at. Each node has a mass. The quality that grows is the weight within
communities, from both ends of each link, less `resolution` times the square of the mass of each.
Source: Traag, Waltman and van Eck 2019, doi:10.1038/s41598-019-41695-z.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kithkin.kernels.elementary import exponential


@njit(cache=True, nogil=True)
def node_strengths(weights, indices, indptr, mass):
    """Sum the weights of the links of each node, those to itself left out; return the number of links with a weight.

    mass (out): float64 per node.
    """
    links = 0
    for i in range(len(mass)):
        total = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            if weights[k] > 0 and indices[k] != i:
                total += weights[k]
                links += 1
        mass[i] = total
    return links


@njit(cache=True, nogil=True)
def shuffle(order, state):
    """Write the integers from 0 in random order.

    order (out): integers.
    state: uint64 of length 1, changed: the state of the generator (SplitMix64).
    """
    for i in range(len(order)):
        j = np.int64(_uniform(state) * (i + 1))
        order[i] = order[j]
        order[j] = i


@njit(cache=True, nogil=True)
def _uniform(state):
    """Draw a number from 0 to below 1."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    x = state[0]
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return np.float64(np.int64(x >> np.uint64(11))) / 9007199254740992.0


@njit(cache=True, nogil=True)
def move_nodes(weights, indices, indptr, mass, resolution, member, queue):
    """Move single nodes to the community that raises the quality most, until no move does, and return how many moved.

    member: int32 per node, changed: communities 0 to n - 1; renumbered from 0 without gaps in the end.
    queue: int32, a permutation of the nodes: the order in which they are visited first. Overwritten.
    """
    # Long: one loop over a queue, compiled at once
    n = len(member)
    sizes = np.zeros(n, np.int32)
    masses = np.zeros(n)
    for i in range(n):
        sizes[member[i]] += 1
        masses[member[i]] += mass[i]
    empty = np.empty(n, np.int32)  # a stack of the communities without a node
    n_empty = 0
    for c in range(n - 1, -1, -1):
        if sizes[c] == 0:
            empty[n_empty] = c
            n_empty += 1
    waits = np.ones(n, np.bool_)
    to = np.zeros(n)
    near = np.empty(n, np.int32)
    head, n_waiting, moves = 0, n, 0
    while n_waiting > 0:
        i = queue[head]
        head = head + 1 if head + 1 < n else 0
        n_waiting -= 1
        waits[i] = False
        own = member[i]
        n_near = 0
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if weights[k] > 0 and j != i:
                c = member[j]
                if to[c] == 0:
                    near[n_near] = c
                    n_near += 1
                to[c] += weights[k]
        pull = resolution * mass[i]
        masses[own] -= mass[i]
        stay = to[own] - pull * masses[own]
        best, target = stay + 1e-12 * (to[own] + pull * masses[own]), own  # rounding is no gain
        if best < 0 and sizes[own] > 1:
            best, target = 0.0, empty[n_empty - 1]
        for t in range(n_near):
            c = near[t]
            if to[c] > best and c != own:  # the gain is at most this: most masses are not looked up
                gain = to[c] - pull * masses[c]
                if gain > best:
                    best, target = gain, c
            to[c] = 0.0
        masses[target] += mass[i]
        if target == own:
            continue
        moves += 1
        member[i] = target
        sizes[own] -= 1
        if sizes[target] == 0:
            n_empty -= 1
        sizes[target] += 1
        if sizes[own] == 0:
            masses[own] = 0.0
            empty[n_empty] = own
            n_empty += 1
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if not waits[j] and member[j] != target and weights[k] > 0:
                waits[j] = True
                tail = head + n_waiting
                queue[tail if tail < n else tail - n] = j
                n_waiting += 1
    number(member, sizes)
    return moves


@njit(cache=True, nogil=True)
def number(member, fresh):
    """Renumber communities from 0 without gaps, in the order of their first nodes, and return how many there are.

    member: int32 per node, changed: 0 to n - 1.
    fresh: int32, n, overwritten.
    """
    fresh[:] = -1
    count = 0
    for i in range(len(member)):
        if fresh[member[i]] < 0:
            fresh[member[i]] = count
            count += 1
        member[i] = fresh[member[i]]
    return count


@njit(cache=True, nogil=True)
def merge_within(weights, indices, indptr, mass, resolution, theta, member, order, state, part):
    """Merge nodes within communities, each at most once and at random among gains, and return the number of parts.

    theta: randomness: a gain smaller by this much is taken e times less often.
    member: int32 per node: communities, without gaps.
    order: int32, a permutation of the nodes: the order in which they are visited. Overwritten with the nodes by part.
    state: uint64 of length 1, changed.
    part (out): int32 per node, from 0 without gaps: connected sets of nodes, each within a community.
    """
    # Long: one loop over the nodes, compiled at once
    n = len(member)
    whole = np.zeros(n)  # mass of each community
    inward = np.zeros(n)  # weight from each part to the rest of its community
    masses = mass.copy()
    alone = np.ones(n, np.bool_)
    for i in range(n):
        part[i] = i
        whole[member[i]] += mass[i]
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if member[j] == member[i] and j != i:
                inward[i] += weights[k]
    to = np.zeros(n)
    near = np.empty(n, np.int32)
    for t in range(n):
        i = order[t]
        rest = whole[member[i]] - mass[i]
        if not alone[i] or inward[i] < resolution * mass[i] * rest:
            continue
        n_near = 0
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if weights[k] > 0 and member[j] == member[i] and j != i:
                c = part[j]
                if to[c] == 0:
                    near[n_near] = c
                    n_near += 1
                to[c] += weights[k]
        best, n_good = 0.0, 0
        for s in range(n_near):
            c = near[s]
            gain = to[c] - resolution * mass[i] * masses[c]
            if gain >= 0 and inward[c] >= resolution * masses[c] * (whole[member[i]] - masses[c]):
                near[n_good] = c
                n_good += 1
                best = max(best, gain)
            else:
                to[c] = 0.0
        total = 1.0 if best < 40 * theta else 0.0  # a node that stays alone gains nothing
        if total > 0:
            total = exponential(-best / theta)
        for s in range(n_good):
            gain = to[near[s]] - resolution * mass[i] * masses[near[s]]
            if gain > best - 40 * theta:
                total += exponential((gain - best) / theta)
        left = total * _uniform(state) if n_good > 0 else 0.0
        target = i
        for s in range(n_good):
            c = near[s]
            gain = to[c] - resolution * mass[i] * masses[c]
            if left >= 0 and gain > best - 40 * theta:
                left -= exponential((gain - best) / theta)
                if left < 0:
                    target = c
                    inward[c] += inward[i] - 2 * to[c]
                    masses[c] += mass[i]
            to[c] = 0.0
        if target != i:
            part[i] = target
            alone[target] = False
    count = number(part, near)
    starts = np.zeros(count + 1, np.int64)
    for i in range(n):
        starts[part[i] + 1] += 1
    for c in range(count):
        starts[c + 1] += starts[c]
    for i in range(n):
        order[starts[part[i]]] = i
        starts[part[i]] += 1
    return count


@njit(cache=True, nogil=True)
def aggregate(weights, indices, indptr, mass, part, order, count):
    """Add up the links between parts, and the masses of each.

    part: int32 per node: 0 to count - 1.
    order: int32: the nodes by part.
    Returns weights, indices, pointers and masses of the graph of the parts.
    """
    seen = np.full(count, -1, np.int32)
    pointers = np.zeros(count + 1, np.uint64)
    sums = np.zeros(count)
    size = 0
    for t in range(len(order)):
        i = order[t]
        c = part[i]
        sums[c] += mass[i]
        for k in range(indptr[i], indptr[i + 1]):
            d = part[indices[k]]
            if d != c and seen[d] != c and weights[k] > 0:
                seen[d] = c
                size += 1
        pointers[c + 1] = size
    ends = np.empty(size, np.uint32)
    values = np.empty(size, weights.dtype)
    place = np.empty(count, np.int64)
    seen[:] = -1
    at = 0
    for t in range(len(order)):
        i = order[t]
        c = part[i]
        for k in range(indptr[i], indptr[i + 1]):
            d = part[indices[k]]
            if d != c and weights[k] > 0:
                if seen[d] != c:
                    seen[d] = c
                    place[d] = at
                    ends[at] = d
                    values[at] = weights[k]
                    at += 1
                else:
                    values[place[d]] += weights[k]
    return values, ends, pointers, sums


@njit(cache=True, nogil=True)
def split_parts(weights, indices, indptr, member, stack):
    """Divide communities that are not connected, and return how many there are then.

    member: int32 per node, changed.
    stack: int32 per node, overwritten.
    """
    n = len(member)
    part = np.full(n, -1, np.int32)
    count = 0
    for first in range(n):
        if part[first] >= 0:
            continue
        part[first] = count
        stack[0] = first
        top = 1
        while top > 0:
            top -= 1
            i = stack[top]
            for k in range(indptr[i], indptr[i + 1]):
                j = indices[k]
                if part[j] < 0 and weights[k] > 0 and member[j] == member[i]:
                    part[j] = count
                    stack[top] = j
                    top += 1
        count += 1
    member[:] = part
    return count


@njit(cache=True, nogil=True)
def quality(weights, indices, indptr, mass, resolution, member, count):
    """Compute the weight within communities, from both ends of each link, less the squares of their masses.

    mass: float64 per node.
    resolution: factor of the squares.
    member: int32 per node: 0 to count - 1.
    """
    masses = np.zeros(count)
    inside = 0.0
    for i in range(len(member)):
        masses[member[i]] += mass[i]
        for k in range(indptr[i], indptr[i + 1]):
            if indices[k] != i and member[indices[k]] == member[i]:
                inside += weights[k]
    return inside - resolution * np.square(masses).sum()
