import { keyLabel, type Role } from '@sealfleet/format'
import type { KeyRow } from '@sealfleet/records'
import { table } from '../../output/table.js'
import type { KeyStep } from '@sealfleet/keys'

/** The effect of one step on one key, done or planned. */
export interface KeyStepReport {
  readonly label: string
  readonly role: Role
  readonly version: number
  readonly done: string
  readonly checkValue: string | null
}

const DONE = {
  there: 'active already',
  register: 'registered: it was in the token, without a record',
  generate: 'made in the HSM and registered',
} as const

export function keyStepReport(step: KeyStep, row: KeyRow | undefined, rows: readonly KeyRow[]): KeyStepReport {
  const known = row ?? rows.find(({ version }) => version === step.ref.version)
  const { role, version } = step.ref
  const checkValue = known?.checkValue?.toString('hex') ?? null
  return { label: keyLabel(step.ref), role, version, done: doneBy(step), checkValue }
}

function doneBy(step: KeyStep): string {
  if (step.kind !== 'activate') return DONE[step.kind]
  return step.replaces === null ? 'active' : `active; version ${step.replaces} only opens from now on`
}

/** One line per key: the steps, in order. */
export function reportTable(reports: readonly KeyStepReport[], o: { readonly dryRun?: boolean }): string {
  const columns = [{ title: 'KEY' }, { title: 'CHECK VALUE' }, { title: o.dryRun === true ? 'WOULD BE' : 'NOW' }]
  const labels = [...new Set(reports.map(({ label }) => label))]
  const lines = labels.map((label) => {
    const steps = reports.filter((report) => report.label === label)
    return [label, steps.at(-1)?.checkValue ?? '-', steps.map(({ done }) => done).join(', ')]
  })
  return table(columns, lines)
}
