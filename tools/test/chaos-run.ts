import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkout } from '../lib/places.mjs'

/** What `npm run chaos -- --json FILE` leaves, as far as tests look at it. */
export interface ChaosReport {
  readonly lost: number
  readonly complaints: readonly string[]
  readonly accepted: number
  /** Faults that met something to strike. */
  readonly struck: number
}

/** Runs chaos as a process of its own to its end. @throws Error with all that it printed, when a check did not hold */
export async function chaosRun(o: { readonly minutes: number; readonly seed: string }): Promise<ChaosReport> {
  const folder = await mkdtemp(join(tmpdir(), 'sealfleet-chaos-'))
  try {
    const json = join(folder, 'report.json')
    const args = [
      join(checkout, 'tools', 'chaos.mjs'),
      '--minutes',
      String(o.minutes),
      '--seed',
      o.seed,
      '--json',
      json,
    ]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += String(text)))
    const [status] = (await once(child, 'close')) as [number]
    if (status !== 0) throw new Error(`chaos ended with ${status}:\n${output}`)
    return JSON.parse(await readFile(json, 'utf8')) as ChaosReport
  } finally {
    await rm(folder, { recursive: true })
  }
}
