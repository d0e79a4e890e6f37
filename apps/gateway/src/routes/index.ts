import type { Route } from '../route.js'
import { getContent, headContent, verify } from './content.js'
import { discard, listLetters, replay } from './dead-letters.js'
import { enqueue } from './enqueue.js'
import { batch, getOne, list, remove } from './files.js'

/**
 * Every operation that asks for a token, with its scope: the server, the document and the tests of access are made from
 * this list. Uploads (scope `upload`: `PUT /v1/files/{id}/content`, `POST /v1/files/content`) belong here.
 */
export const ROUTES: readonly Route[] = [
  ...[enqueue, list, getOne, remove, verify],
  ...[getContent, headContent],
  batch,
  ...[listLetters, replay, discard],
]
