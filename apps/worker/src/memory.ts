import { setFlagsFromString } from 'node:v8'

/**
 * Settings of this process that keep a worker small; call it before the first query. Node 20.20 reads both while it runs.
 * Measured in November 2026 by `npm run bench -- memory` (docs/BENCHMARKS.md).
 *
 * - `--liftoff-only`: WebAssembly is compiled once, by the baseline compiler. The only WebAssembly of a worker is Prisma's
 *   query compiler (7.10). To optimise its largest functions V8 takes some 45 MiB at once, on threads whose arenas glibc
 *   does not give back. Queries take the same time without, and the first fifty less.
 * - `--optimize-for-size`: V8 collects its old generation when it has grown by a third. Otherwise it waits until that
 * is some   115 MiB, most of it what finished requests left behind, since it takes the machine's memory for its own.
 *
 * Neither touches part buffers, whose number the byte budget bounds.
 */
export function keepSmall(): void {
  setFlagsFromString('--liftoff-only')
  setFlagsFromString('--optimize-for-size')
}
