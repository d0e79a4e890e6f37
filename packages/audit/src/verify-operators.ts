import { FREE_OFFICERS, listOperators, usedRequestProblem, type OperatorRow } from '@sealfleet/records/operators'
import { listOperatorEvents, type OperatorEvent } from '@sealfleet/records/audit'
import type { Records } from '@sealfleet/records'

import type { Findings } from './findings.js'

/**
 * Checks that operators were enrolled and revoked by those who may: every operator has an event that enrolled this key
 * in this role; every event except those of the first two officers has a request signed for it; every revoked operator
 * has an event of the revocation. Otherwise a writer of the database could enrol two keys and sign with them.
 */
export async function compareOperators(records: Records, findings: Findings, signal?: AbortSignal): Promise<void> {
  const [operators, events] = [await listOperators(records), await listOperatorEvents(records)]
  const add = (name: string, what: string) =>
    findings.add('operator-mismatch', `operator ${name}`, `operator ${name} ${what}`)
  const officers = new Set<string>()
  for (const event of events) {
    signal?.throwIfAborted()
    const problem = await problemOf(records, event, officers.size)
    const done = event.action === 'operators.add' ? 'enrolled' : 'revoked'
    if (problem !== undefined) add(nameOf(event), `was ${done} by event ${event.eventId} of the log, but ${problem}`)
    if (event.action === 'operators.revoke') officers.delete(event.operatorId)
    else if (event.role === 'OFFICER') officers.add(event.operatorId)
  }
  for (const operator of operators) {
    const own = events.filter(({ operatorId }) => operatorId === operator.id)
    if (!own.some((event) => enrols(event, operator)))
      add(operator.name, 'is enrolled with a key or a role that no event of the log gave them')
    if ((operator.revokedAt !== null) !== own.some(({ action }) => action === 'operators.revoke'))
      add(
        operator.name,
        operator.revokedAt === null
          ? 'was revoked by an event of the log, and is not'
          : 'is revoked, and the log does not say so',
      )
  }
}

/** While there are fewer than two officers, there were not enough to sign. */
async function problemOf(records: Records, event: OperatorEvent, officers: number): Promise<string | undefined> {
  const { action, operatorId, name, role, publicKey, request, reason } = event
  if (request === null && officers < FREE_OFFICERS) return undefined
  const added = { requestId: request, kind: 'operators.add', subject: { kind: 'operator', id: name ?? '' } } as const
  const revoked = {
    requestId: request,
    kind: 'operators.revoke',
    subject: { kind: 'operator', id: operatorId },
  } as const
  return action === 'operators.add'
    ? usedRequestProblem(records, { ...added, detail: { publicKey, role: role?.toLowerCase() ?? null } })
    : usedRequestProblem(records, { ...revoked, detail: { name, publicKey, reason } })
}

function enrols({ action, name, role, publicKey }: OperatorEvent, operator: OperatorRow): boolean {
  return (
    action === 'operators.add' &&
    name === operator.name &&
    role?.toLowerCase() === operator.role &&
    publicKey === operator.publicKey.toString('hex')
  )
}

function nameOf({ name, operatorId }: OperatorEvent): string {
  return name ?? operatorId
}
