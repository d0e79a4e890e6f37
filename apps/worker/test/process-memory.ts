/** What lies in the memory of a process of ours, read through /proc while it stands still. */
import { closeSync, openSync, readFileSync, readSync, readdirSync } from 'node:fs'

export interface Hit {
  readonly pid: number
  readonly name: string
  /** The mapping it lies in, as /proc names it; `anonymous` where there is no name. */
  readonly where: string
  readonly address: number
}

/** Bytes of a needle. Shorter pieces than a key are looked for, since what is left of one need not be whole. */
export const PIECE = 8
const CHUNK = 16 * 2 ** 20

/** The secret in pieces, each under a name that says where it was cut. */
export function piecesOf(name: string, secret: Uint8Array): (readonly [string, Buffer])[] {
  return Array.from({ length: Math.floor(secret.length / PIECE) }, (_, i) => {
    const at = i * PIECE
    return [`${name}[${at}..${at + PIECE}]`, Buffer.from(secret.subarray(at, at + PIECE))] as const
  })
}

/** Processes that this one started, and those that they did. */
export function childrenOf(pid: number): number[] {
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
  )
  return children.flatMap((child) => [child, ...childrenOf(child)])
}

/**
 * Where these pieces lie in everything the processes may write to. All stand still meanwhile: one that went on would take
 * the others for dead.
 */
export function searchProcesses(pids: readonly number[], pieces: readonly (readonly [string, Buffer])[]): Hit[] {
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    const needles = new Needles(pieces)
    return pids.flatMap((pid) => searchProcess(pid, needles))
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
}

function searchProcess(pid: number, needles: Needles): Hit[] {
  const hits: Hit[] = []
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const buffer = Buffer.allocUnsafeSlow(CHUNK)
  try {
    for (const { from, to, name } of writable(pid)) {
      // Chunks overlap, for what lies across their border.
      for (let at = from; at < to; at += CHUNK - PIECE) {
        const read = readPresent(memory, buffer, Math.min(CHUNK, to - at), at)
        needles.search(buffer.subarray(0, read), (needle, offset) => {
          hits.push({ pid, name: needle, where: name, address: at + offset })
        })
      }
    }
  } finally {
    closeSync(memory)
  }
  return hits
}

/** A mapping can end early (a stack's guard, a mapped device): what can't be read holds nothing. */
function readPresent(memory: number, into: Buffer, length: number, at: number): number {
  try {
    return readSync(memory, into, 0, length, at)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 0
    throw error
  }
}

function writable(pid: number): { from: number; to: number; name: string }[] {
  return readFileSync(`/proc/${pid}/maps`, 'latin1')
    .split('\n')
    .flatMap((line) => {
      const [range = '', mode = '', , , , ...path] = line.split(/ +/)
      if (!mode.startsWith('rw')) return []
      const [from = 0, to = 0] = range.split('-').map((hex) => Number.parseInt(hex, 16))
      return [{ from, to, name: path.join(' ') || 'anonymous' }]
    })
}

/**
 * Many needles of one length, looked for in one pass (Wu and Manber's way): the pair of bytes at the end of a window says
 * how far the window may move at least, which is nearly always its length less one.
 */
class Needles {
  readonly #shift = new Uint8Array(2 ** 16).fill(PIECE - 1)
  readonly #byEnd = new Map<number, (readonly [string, Buffer])[]>()

  constructor(pieces: readonly (readonly [string, Buffer])[]) {
    for (const piece of pieces) {
      for (let i = 1; i < PIECE; i++) {
        const pair = piece[1].readUInt16LE(i - 1)
        this.#shift[pair] = Math.min(this.#shift[pair] ?? 0, PIECE - 1 - i)
      }
      const end = piece[1].readUInt16LE(PIECE - 2)
      this.#byEnd.set(end, [...(this.#byEnd.get(end) ?? []), piece])
    }
  }

  search(hay: Buffer, found: (name: string, offset: number) => void): void {
    const shifts = this.#shift
    for (let last = PIECE - 1; last < hay.length;) {
      const pair = (hay[last - 1] ?? 0) | ((hay[last] ?? 0) << 8)
      const shift = shifts[pair] ?? 0
      if (shift === 0) this.#compare(hay, last - PIECE + 1, pair, found)
      last += shift === 0 ? 1 : shift
    }
  }

  #compare(hay: Buffer, at: number, pair: number, found: (name: string, offset: number) => void): void {
    for (const [name, piece] of this.#byEnd.get(pair) ?? []) {
      if (hay.compare(piece, 0, PIECE, at, at + PIECE) === 0) found(name, at)
    }
  }
}
