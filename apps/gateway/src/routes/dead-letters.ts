import { discardDeadLetter, getDeadLetter, getFile, listDeadLetters, replayDeadLetter } from '@sealfleet/records/files'
import { RecordsError, type DeadLetterRow } from '@sealfleet/records'
import type { Caller } from '../access.js'
import { Problem } from '../problem.js'
import type { Asked, Route } from '../route.js'
import { code, cursor, domain, LETTER_IDS, LETTERS, limit, object, reason, RESOLVED } from '../schemas.js'
import type { Services } from '../services.js'
import { letterView } from '../views.js'
import { domainsOf } from './find-file.js'

export const listLetters: Route = {
  ...{ method: 'GET', path: '/v1/dead-letters', operation: 'listDeadLetters', scope: 'on-call' },
  summary: 'Open dead letters, oldest first: files that could not be stored, and refused requests.',
  query: { code, domain, limit, cursor },
  answers: { 200: LETTERS },
  handle: async ({ caller, query }, services) => {
    const at = Number(query['limit'] ?? 100)
    const letters = await listDeadLetters(services.records, {
      ...(await domainsOf(services, caller, query['domain']?.toString())),
      ...{ code: query['code']?.toString(), limit: at, after: placeOf(query['cursor']?.toString()) },
    })
    const last = letters.length === at ? letters.at(-1) : undefined
    const next = last === undefined ? null : `${last.createdAt.getTime()}.${last.id}`
    const views = letters.map((letter) => letterView(letter, services.domains))
    return { status: 200, body: { deadLetters: await Promise.all(views), next } }
  },
}

/** @throws Problem BAD_REQUEST */
function placeOf(given: string | undefined): Pick<DeadLetterRow, 'id' | 'createdAt'> | undefined {
  if (given === undefined) return undefined
  const [, time = '', id = ''] = /^(\d{1,15})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(given) ?? []
  if (id === '') throw new Problem('BAD_REQUEST', 'that cursor is none of ours')
  return { id, createdAt: new Date(Number(time)) }
}

type Outcome = { readonly outcome: string; readonly fileId?: string }

export const replay: Route = {
  ...{ method: 'POST', path: '/v1/dead-letters/replay', operation: 'replayDeadLetters', scope: 'on-call' },
  summary:
    'Return dead files to the workers, with a fresh count of attempts. Repeating it restores jobs that were lost.',
  body: object({ ids: LETTER_IDS, reason }, ['reason']),
  answers: { 200: RESOLVED },
  handle: (asked, services) =>
    eachLetter(asked, services, async (letter) => {
      const input = { id: letter.id, actor: asked.caller.actor, reason: bodyOf(asked).reason }
      const { outcome, fileId } = await replayDeadLetter(services.records, input)
      const replayed = outcome === 'done' || (outcome === 'resolved' && letter.state === 'REPLAYED')
      if (replayed && fileId !== null) await giveJob(fileId, asked.caller, services)
      return answerOf(outcome === 'done' ? 'replayed' : outcome, fileId)
    }),
}

export const discard: Route = {
  ...{ method: 'POST', path: '/v1/dead-letters/discard', operation: 'discardDeadLetters', scope: 'on-call' },
  summary: 'Close dead letters for good: their files will not be stored.',
  body: object({ ids: LETTER_IDS, reason }),
  answers: { 200: RESOLVED },
  handle: (asked, services) =>
    eachLetter(asked, services, async ({ id }) => {
      const input = { id, actor: asked.caller.actor, reason: bodyOf(asked).reason ?? '' }
      const { outcome, fileId } = await discardDeadLetter(services.records, input)
      return answerOf(outcome === 'done' ? 'discarded' : outcome, fileId)
    }),
}

function bodyOf({ body }: Asked) {
  return body as { readonly ids: readonly string[]; readonly reason?: string }
}

function answerOf(outcome: string, fileId: string | null): Outcome {
  return { outcome, ...(fileId !== null && { fileId }) }
}

/** One by one, each in a statement of its own; one that the token may not see is `not-found`. */
async function eachLetter(asked: Asked, services: Services, act: (letter: DeadLetterRow) => Promise<Outcome>) {
  const results: ({ readonly id: string } & Outcome)[] = []
  for (const id of bodyOf(asked).ids) {
    asked.signal.throwIfAborted()
    const letter = await findLetter(services, asked.caller, id)
    results.push({ id, ...(letter === undefined ? { outcome: 'not-found' } : await act(letter)) })
  }
  return { status: 200, body: { results } }
}

async function findLetter({ records }: Services, caller: Caller, id: string): Promise<DeadLetterRow | undefined> {
  try {
    const { letter } = await getDeadLetter(records, id)
    return caller.sees(letter.domain) ? letter : undefined
  } catch (error) {
    if (error instanceof RecordsError && error.code === 'NOT_FOUND') return undefined
    throw error
  }
}

/** The client adds the job of the file's generation unless it is there. */
async function giveJob(fileId: string, caller: Caller, { records, ingest }: Services): Promise<void> {
  const found = await getFile(records, fileId)
  if (found === undefined) throw new TypeError('files are never deleted')
  const { domain: domainId, source, context } = found.file
  await ingest(caller.actor).enqueue({ id: fileId, domain: domainId, ...source, context })
}
