import { fileIdOf } from '../file-id.js'
import { SealfleetError } from '../sealfleet-error.js'
import type { AcceptedFile, EnqueueAnswer, EnqueueOutcome, NewFile } from '../terms.js'
import { fromProblem } from './problem.js'
import type { EnqueueManyOptions, EnqueueOptions } from './terms.js'
import type { Transport } from './transport.js'

/** Files in one request, at most and by default. */
const MOST = 10_000
const CHUNK = 1_000

/** One item of an answer to many. */
interface Item {
  readonly index: number
  readonly outcome?: EnqueueOutcome
  readonly fileId?: string
  readonly jobId?: string
  readonly error?: Readonly<Record<string, unknown>>
}

export async function enqueueOne(
  transport: Transport,
  file: NewFile,
  { batch, signal }: EnqueueOptions,
): Promise<AcceptedFile> {
  if (batch !== undefined) {
    for await (const answer of enqueueAnswers(transport, [file], { batch, signal })) return accepted(answer)
    throw new Error('one file has one answer')
  }
  const answer = await transport.json({ method: 'POST', path: 'v1/files', json: itemOf(file), signal })
  return accepted(answerOf({ ...(answer as Item), index: 0 }))
}

export async function* enqueueAnswers(
  transport: Transport,
  files: Iterable<NewFile> | AsyncIterable<NewFile>,
  { batch, signal, chunkSize = CHUNK }: EnqueueManyOptions,
): AsyncGenerator<EnqueueAnswer, void, undefined> {
  const size = Math.min(Math.max(1, Math.trunc(chunkSize)), MOST)
  let before = 0
  let chunk: NewFile[] = []
  const send = async (): Promise<readonly EnqueueAnswer[]> => {
    const json = { files: chunk.map(itemOf), ...(batch !== undefined && { batch }) }
    const answer = await transport.json({ method: 'POST', path: 'v1/files', json, signal })
    const { results } = answer as { readonly results?: readonly Item[] }
    if (!Array.isArray(results) || results.length !== chunk.length)
      throw new SealfleetError('BAD_ANSWER', `${chunk.length} files were sent, and the answer has not as many results`)
    const answers = (results as readonly Item[]).map((item, place) => answerOf({ ...item, index: before + place }))
    before += chunk.length
    chunk = []
    return answers
  }
  for await (const file of files) {
    if (chunk.push(file) === size) yield* await send()
  }
  if (chunk.length > 0) yield* await send()
}

function itemOf({ id, root, path, domain, context }: NewFile): Readonly<Record<string, string>> {
  return {
    root,
    path,
    ...(id !== undefined && { id: fileIdOf(id) }),
    ...(domain !== undefined && { domain }),
    ...(context !== undefined && { context: Buffer.from(context).toString('base64') }),
  }
}

function answerOf({ index, outcome, fileId, jobId, error }: Item): EnqueueAnswer {
  const refusal = error === undefined ? undefined : fromProblem(error, {})
  return {
    index,
    outcome: outcome ?? (refusal?.code === 'REQUEST_CONFLICT' ? 'conflict' : 'invalid'),
    ...(fileId !== undefined && { fileId }),
    ...(jobId !== undefined && { jobId }),
    ...(refusal !== undefined && { error: refusal }),
  }
}

function accepted(answer: EnqueueAnswer): AcceptedFile {
  if (answer.error !== undefined) throw answer.error
  if (answer.fileId === undefined) throw new SealfleetError('BAD_ANSWER', 'the answer has no file id')
  return { ...answer, fileId: answer.fileId }
}
