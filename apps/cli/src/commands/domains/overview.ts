import { countsByDomain, noFiles, type Counts } from '@sealfleet/records/files'
import { keyAges, type KeyAge } from '@sealfleet/records/keys'
import { listDomains } from '@sealfleet/records/fleet'
import { listHolds } from '@sealfleet/records/deletion'
import type { DomainPolicy, HoldRow, Records } from '@sealfleet/records'
import type { Column } from '../../output/column.js'
import { pairs, table } from '../../output/table.js'
import { count, humanSize, humanTime } from '../../output/units.js'
import { daysText } from './days.js'

/** A domain with its keys, files and holds. */
export interface DomainOverview extends DomainPolicy {
  /** Its active keys. */
  readonly keys: readonly KeyAge[]
  /** When the first of them is due for a rotation; null: never. */
  readonly rotationDueAt: Date | null
  readonly rotationDue: boolean
  readonly files: Counts
  /** Holds in force, on the domain and on files of it. */
  readonly holds: readonly HoldRow[]
}

/** Every domain, by name. */
export async function overview(records: Records): Promise<readonly DomainOverview[]> {
  const [domains, ages, counts, holds] = await Promise.all([
    listDomains(records),
    keyAges(records),
    countsByDomain(records),
    listHolds(records),
  ])
  return domains.map((policy) => {
    const keys = ages.filter(({ domain }) => domain === policy.id)
    const due = keys.flatMap(({ dueAt }) => (dueAt === null ? [] : [dueAt.getTime()]))
    return {
      ...policy,
      keys,
      rotationDueAt: due.length === 0 ? null : new Date(Math.min(...due)),
      rotationDue: keys.some((key) => key.due),
      files: counts.get(policy.id) ?? noFiles(),
      holds: holds.filter(({ domain }) => domain === policy.id),
    }
  })
}

/** One line a domain. */
export function overviewTable(domains: readonly DomainOverview[]): string {
  const right = (title: string): Column => ({ title, align: 'right' })
  const columns = [
    { title: 'NAME' },
    { title: 'ID' },
    { title: 'SUITE' },
    { title: 'NONCES' },
    { title: 'SEGMENT' },
    { title: 'KEYS' },
    { title: 'ROTATION' },
    { title: 'RETENTION' },
    right('FILES'),
    right('STORED'),
    right('HOLDS'),
  ]
  const rows = domains.map((d) => [
    d.name,
    d.id,
    String(d.suite),
    d.nonceMode,
    humanSize(2 ** d.segLog2),
    d.keys.length === 0 ? 'none' : d.keys.map(({ role, version }) => `${role} ${version}`).join(', '),
    rotationText(d),
    daysText(d.retentionDays, 'forever'),
    String(Object.values(d.files).reduce((sum, n) => sum + n, 0)),
    String(d.files.STORED),
    String(d.holds.length),
  ])
  return table(columns, rows)
}

function rotationText({ rotationDays, rotationDueAt, rotationDue }: DomainOverview): string {
  if (rotationDays === null || rotationDueAt === null) return daysText(rotationDays, 'never')
  const due = humanTime(rotationDueAt).slice(0, 10)
  return rotationDue ? `due since ${due}` : `due ${due}`
}

/** One domain in detail. */
export function overviewText(domain: DomainOverview): string {
  const { files, holds, keys } = domain
  const states = Object.entries(files).map(([state, n]) => `${n} ${state.toLowerCase()}`)
  const head = pairs([
    ['domain', domain.name],
    ['id', domain.id],
    ['suite', `${domain.suite} (${domain.suite === 1 ? 'AES-128-CTR' : 'AES-256-CTR'})`],
    ['nonces', domain.nonceMode],
    ['segment', humanSize(2 ** domain.segLog2)],
    ['rotation', rotationLine(domain)],
    ['retention', daysText(domain.retentionDays, 'forever')],
    ['files', states.join(', ')],
    ['holds', count(holds.length, 'hold')],
  ])
  const columns = [
    { title: 'ACTIVE KEY' },
    { title: 'VERSION', align: 'right' } as const,
    { title: 'SUITE', align: 'right' } as const,
    { title: 'SINCE' },
    { title: 'AGE', align: 'right' } as const,
    { title: 'ROTATION DUE' },
  ]
  const rows = keys.map((key) => [
    key.role,
    String(key.version),
    key.role === 'kek' ? '-' : String(key.suite),
    humanTime(key.activatedAt),
    daysText(Math.floor(key.ageDays), ''),
    key.dueAt === null ? 'never' : `${humanTime(key.dueAt)}${key.due ? ' (due)' : ''}`,
  ])
  const parts = [head, keys.length === 0 ? 'no active keys: sealfleet keys init' : table(columns, rows)]
  if (domain.keys.some(({ role, suite }) => role !== 'kek' && suite !== domain.suite))
    parts.push(`The active keys are not of suite ${domain.suite} yet: it takes effect with \`sealfleet keys rotate\`.`)
  if (holds.length > 0) parts.push(holdsTable(holds))
  return parts.join('\n\n')
}

function rotationLine({ rotationDays, rotationDueAt, rotationDue }: DomainOverview): string {
  if (rotationDays === null) return 'never due'
  const every = `every ${daysText(rotationDays, '')}`
  if (rotationDueAt === null) return every
  return `${every}, ${rotationDue ? 'DUE since' : 'next due'} ${humanTime(rotationDueAt)}`
}

export function holdsTable(holds: readonly HoldRow[]): string {
  const past = holds.some(({ releasedAt }) => releasedAt !== null)
  const columns = ['HOLD', 'COVERS', 'PLACED', 'BY', ...(past ? ['RELEASED'] : []), 'REASON'].map((title) => ({
    title,
  }))
  const rows = holds.map((hold) => [
    hold.id,
    hold.fileId === null ? `domain ${hold.domain}` : `file ${hold.fileId}`,
    humanTime(hold.placedAt),
    hold.placedBy,
    ...(past
      ? [hold.releasedAt === null ? 'in force' : `${humanTime(hold.releasedAt)} by ${hold.releasedBy ?? '-'}`]
      : []),
    hold.reason,
  ])
  return table(columns, rows)
}
