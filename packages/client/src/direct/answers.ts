import type { EnqueueResult } from '@sealfleet/queue'
import { SealfleetError } from '../sealfleet-error.js'
import type { AcceptedFile, EnqueueAnswer } from '../terms.js'
import { coded } from './coded.js'
import type { Resolved } from './domains.js'

/** A result of the queue's client as callers see it. Its request is the one that was passed in. */
export function answerOf({ outcome, fileId, jobId, error, request }: EnqueueResult, index: number): EnqueueAnswer {
  const { problem } = request as Resolved
  const refusal = problem ?? (error === undefined ? undefined : coded(error))
  return {
    index,
    outcome,
    ...(fileId !== undefined && { fileId }),
    ...(jobId !== undefined && { jobId }),
    ...(refusal instanceof SealfleetError && { error: refusal }),
  }
}

/** The answer to a file that was handed in by itself. @throws {SealfleetError} the error that it holds */
export function accepted(answer: EnqueueAnswer | undefined): AcceptedFile {
  if (answer?.error !== undefined) throw answer.error
  if (answer?.fileId === undefined) throw new Error('a file that is accepted has an id')
  return { ...answer, fileId: answer.fileId }
}
