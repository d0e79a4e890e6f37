import { listDestructions, type DestructionRow } from '@sealfleet/records/keys'

import { carryOutDestruction, type CarryOutOptions } from './carry-out.js'
import { copyDestruction, uncopied } from './copy.js'
import type { DestroyPorts } from './terms.js'

/** What one look at the scheduled destructions came to. Counts. */
export interface DestroyReport {
  due: number
  destroyed: number
  refused: number
  copied: number
  uncopied: number
  /** Refusals and copies that failed: a person must look. */
  found: number
  readonly findings: { readonly label: string; readonly code: string }[]
}

/**
 * Carries out every destruction whose time has come, one after another, and brings records to the store that are not there
 * yet. One that is refused keeps none of the others.
 * @throws the signal's reason, RecordsError
 */
export async function carryOutDue(ports: DestroyPorts, options: CarryOutOptions): Promise<DestroyReport> {
  const due = await listDestructions(ports.records, { only: 'due' })
  const report: DestroyReport = {
    due: due.length,
    destroyed: 0,
    refused: 0,
    copied: 0,
    uncopied: 0,
    found: 0,
    findings: [],
  }
  const find = ({ label }: DestructionRow, code: string): void => {
    report.found++
    report.findings.push({ label, code })
  }
  for (const one of due) {
    options.signal?.throwIfAborted()
    const result = await carryOutDestruction(ports, one.id, options)
    if (result.outcome === 'destroyed') report.destroyed++
    if (result.outcome === 'refused') {
      report.refused++
      find(one, result.code)
    }
  }
  for (const one of await uncopied(ports.records)) {
    try {
      await copyDestruction(ports, one, options.signal)
      report.copied++
    } catch (error) {
      options.signal?.throwIfAborted()
      report.uncopied++
      find(one, options.codeOf(error))
    }
  }
  return report
}
