import { listDestructions, type DestructionRow } from '@sealfleet/records/keys'

import { carryOutDestruction, type CarryOutOptions } from './carry-out.js'
import { copyDestruction, uncopied } from './copy.js'
import type { DestroyPorts } from './terms.js'

/** The outcome of one look at the scheduled destructions. Counts. */
export interface DestroyReport {
  due: number
  destroyed: number
  refused: number
  copied: number
  uncopied: number
  /** Refusals and failed copies: they need attention. */
  found: number
  readonly findings: { readonly label: string; readonly code: string }[]
}

/**
 * Carries out every due destruction, one after another, and writes missing records to the store. A refused one does not
 * block the others.
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
