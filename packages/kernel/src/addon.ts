/** The compiled addon as native/binding.c describes it. */
import { createRequire } from 'node:module'

/** The interface of binding.c that this package was written for. */
export const ABI = 1

/** operation, data, tag, from, to, key, counter, block, macKey, prefix */
export type SegmentArguments = readonly [
  operation: number,
  data: Uint8Array,
  tag: Uint8Array,
  from: number,
  to: number,
  key: Uint8Array | undefined,
  counter: Uint8Array | undefined,
  block: number,
  macKey: Uint8Array,
  prefix: Uint8Array,
]

export interface Addon {
  readonly abi: number
  /** This processor can hash two segments at once. */
  readonly lanes: boolean
  /** Off the event loop. Resolves with 1 for an authentic first segment, plus 2 for an authentic second one. */
  readonly run: (lanes: boolean, ...segments: readonly unknown[]) => Promise<number>
  /** The same on this thread, at once. */
  readonly runSync: (lanes: boolean, ...segments: readonly unknown[]) => number
}

const PATH = '../build/Release/kernel.node'

/** Loads the addon. Throws when it is not built, was built for another interface or platform, or fails at its start. */
export function loadAddon(path: string = PATH): Addon {
  const addon = createRequire(import.meta.url)(path) as Partial<Addon> | null
  if (addon?.abi !== ABI || typeof addon.run !== 'function' || typeof addon.runSync !== 'function') {
    throw new Error(`the addon has interface ${String(addon?.abi)}, not ${ABI}: it is of another version of Sealfleet`)
  }
  return addon as Addon
}
