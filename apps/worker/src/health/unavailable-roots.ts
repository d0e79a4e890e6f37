import { rootUnavailable, SourceError } from '@sealfleet/attempts'
import { stat } from 'node:fs/promises'

import type { Probe } from '@sealfleet/runtime'

/**
 * The roots whose folder this worker cannot reach. Their jobs are returned unclaimed, so that another worker takes them
 * or they wait without a trace in the database; jobs of other roots continue.
 */
export class UnavailableRoots {
  readonly #roots: ReadonlyMap<string, string>
  readonly #out = new Set<string>()

  /** @param roots name → absolute path */
  constructor(roots: ReadonlyMap<string, string>) {
    this.#roots = roots
  }

  lost(root: string): void {
    this.#out.add(root)
  }

  has(root: string): boolean {
    return this.#out.has(root)
  }

  /** Removes the roots that are back; rejects while one is missing. */
  readonly probe: Probe = async () => {
    let missing: SourceError | undefined
    for (const name of this.#out) {
      const error = await lookAt(name, this.#roots.get(name))
      if (error === undefined) this.#out.delete(name)
      missing ??= error
    }
    if (missing !== undefined) throw missing
  }
}

async function lookAt(name: string, path: string | undefined): Promise<SourceError | undefined> {
  if (path === undefined) return undefined
  try {
    if ((await stat(path)).isDirectory()) return undefined
    return new SourceError('ROOT_UNAVAILABLE', `root "${name}" is not a folder`)
  } catch (cause) {
    return rootUnavailable(path, name, cause)
  }
}
