import { setFlagsFromString } from 'node:v8'

/** Bytes of part buffers beyond which the heap makes room for them. */
const ROOM_NEEDED = 32 * 2 ** 20

let saving = false

/**
 * Lets V8 collect its old generation when it has grown by a third, while many bytes are held in part buffers. Otherwise
 * it waits until that is some 115 MiB, most of it what finished requests left behind, since it takes the machine's memory
 * for its own. While buffers are few, as with small files, there is room for that, and collecting so often would cost a
 * third of a worker's CPU time (docs/BENCHMARKS.md).
 *
 * @param held bytes of part buffers
 */
export function makeRoom(held: number): void {
  const needed = held > ROOM_NEEDED
  if (needed === saving) return
  saving = needed
  setFlagsFromString(needed ? '--optimize-for-size' : '--no-optimize-for-size')
}
