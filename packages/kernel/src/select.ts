/** Which path seals and opens in this process. */
import { createCipheriv, createHmac } from 'node:crypto'
import { type Addon, loadAddon } from './addon.js'
import { Kernel } from './kernel.js'

export const KERNEL_CHOICES = ['auto', 'typescript', 'evp', 'lanes'] as const
/**
 * - `auto`: two lanes where the processor has them, else one (`evp`), else the TypeScript path;
 * - `typescript`, `evp`, `lanes`: that one.
 */
export type KernelChoice = (typeof KERNEL_CHOICES)[number]

export interface SelectOptions {
  /** Receives a sentence that says what is missing and what to do; by default a warning of the process. */
  readonly onWarning?: (warning: string) => void
  /** For tests: the addon's file. */
  readonly addonPath?: string
}

interface Selection {
  readonly choice: KernelChoice
  readonly options: SelectOptions
  /** Absent until the first use: most commands never seal or open. */
  loaded?: { readonly kernel: Kernel | undefined }
}

let selection: Selection = { choice: 'auto', options: {} }
let warned = false

/** Chooses the path from now on; what is being sealed or opened keeps its own. `auto` where nothing was chosen. */
export function selectKernel(choice: KernelChoice, options: SelectOptions = {}): void {
  if (choice !== selection.choice || options.addonPath !== selection.options.addonPath) selection = { choice, options }
  else selection = { ...selection, options }
}

/**
 * The kernel of this process; undefined when the TypeScript path is to be used. When the addon is absent, of another
 * version, broken, or without the chosen lanes, the first use warns, once for each process, and takes the next best
 * path: no file waits for a compiler.
 */
export function kernel(): Kernel | undefined {
  selection.loaded ??= { kernel: load(selection) }
  return selection.loaded.kernel
}

function load({ choice, options }: Selection): Kernel | undefined {
  if (choice === 'typescript') return undefined
  let addon: Addon
  try {
    addon = loadAddon(options.addonPath)
    checkAddon(addon)
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
    warn(
      options,
      `the native kernel cannot be used (${reason}): sealing and opening take about twice the time; ` +
        'run `npm run build` with gcc, g++, make and python3 installed, or set SEALFLEET_KERNEL=typescript',
    )
    return undefined
  }
  if (choice === 'lanes' && !addon.lanes) {
    warn(options, 'SEALFLEET_KERNEL=lanes, but this processor has no SHA extensions: one lane is used; set it to auto')
  }
  return new Kernel(addon, choice !== 'evp' && addon.lanes ? 'lanes' : 'evp')
}

function warn({ onWarning }: SelectOptions, warning: string): void {
  if (warned) return
  warned = true
  if (onWarning) onWarning(warning)
  else process.emitWarning(warning, { code: 'SEALFLEET_KERNEL' })
}

/** For tests: nothing was chosen, and nothing said. */
export function forgetKernel(): void {
  selection = { choice: 'auto', options: {} }
  warned = false
}

const PROBE_LENGTH = 200

/** A known answer before the first file: throws unless two segments come out as Node's own cipher and HMAC make them. */
function checkAddon(addon: Addon): void {
  const [key, counter, macKey, prefix] = [
    Buffer.alloc(16, 1),
    Buffer.alloc(16, 2),
    Buffer.alloc(32, 3),
    Buffer.alloc(64, 4),
  ]
  const probes = [0, 1].map((i) => ({ data: Buffer.alloc(PROBE_LENGTH + i), tag: Buffer.alloc(32) }))
  const given = probes.flatMap(({ data, tag }) => [0, data, tag, 0, 0, key, counter, 0, macKey, prefix])
  const done = addon.runSync(addon.lanes, ...given)
  const right = probes.every(({ data, tag }) => {
    const cipher = createCipheriv('aes-128-ctr', key, counter)
    const ciphertext = cipher.update(Buffer.alloc(data.length))
    cipher.final()
    return data.equals(ciphertext) && tag.equals(createHmac('sha256', macKey).update(prefix).update(data).digest())
  })
  if (done !== 3 || !right) throw new Error('the addon computes other bytes than Node')
}
