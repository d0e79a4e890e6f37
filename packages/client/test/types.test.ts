/** The client's types are its own, since its users have none of the fleet's packages: these hold the two together. */
import { batchIdFor, type EnqueueOutcome as QueueOutcome, type FileState as QueueState } from '@sealfleet/queue'
import type { PgTransaction as QueuePg, PrismaTransaction as QueuePrisma } from '@sealfleet/queue'
import { expect, expectTypeOf, test } from 'vitest'
import type { EnqueueOutcome, FileState, NewFile, PgTransaction, PrismaTransaction } from '../src/direct.js'
import type { IngestRequest } from '@sealfleet/queue'

test('the client has the same states, outcomes, requests and transactions as the queue', () => {
  expectTypeOf<FileState>().toEqualTypeOf<QueueState>()
  expectTypeOf<EnqueueOutcome>().toEqualTypeOf<QueueOutcome>()
  expectTypeOf<NewFile>().toEqualTypeOf<IngestRequest>()
  expectTypeOf<PgTransaction>().toEqualTypeOf<QueuePg>()
  expectTypeOf<PrismaTransaction>().toEqualTypeOf<QueuePrisma>()
  expect(batchIdFor('March 2026')).toMatch(/^[0-9a-f-]{36}$/)
})
