import { said } from './output/printable.js'

/** At most this many causes are repeated; a real chain has one or two that say something new. */
const MOST = 3
const DEPTH = 12

/**
 * A sentence, followed by the messages of an error's causes: cleaned (`said`), each once, and only what the sentence
 * does not contain already.
 *
 * @example withCauses('Redis at h:1 does not answer', new Error('connect ECONNREFUSED h:1'))
 */
export function withCauses(sentence: string, error: unknown): string {
  let whole = sentence
  let added = 0
  for (const node of chainOf(error)) {
    const words = wordsOf(node)
    if (words === '' || saidAlready(whole, words, node)) continue
    whole = `${whole.replace(/\.$/, '')}: ${words}`
    added += 1
    if (added === MOST) break
  }
  return whole
}

type Node = Readonly<Record<string, unknown>>

function wordsOf(node: Node): string {
  const { message, name } = node
  // Prisma repeats the call and ioredis the command, with their arguments.
  if (typeof message !== 'string' || (typeof name === 'string' && name.startsWith('PrismaClient'))) return ''
  const words = said(message.replace(/,? ?with args beginning with:.*/s, ''))
  return /^(unknown|error|aggregateerror)$/i.test(words) ? '' : words
}

function saidAlready(sentence: string, words: string, { code }: Node): boolean {
  const lower = sentence.toLowerCase()
  if (lower.includes(words.toLowerCase())) return true
  // Drops `ENOENT: no such file …` when the sentence already has ENOENT and the path.
  return typeof code === 'string' && /^E[A-Z0-9]{2,}$/.test(code) && sentence.includes(code)
}

function chainOf(error: unknown): readonly Node[] {
  const chain: Node[] = []
  const queue: unknown[] = [error]
  while (queue.length > 0 && chain.length < DEPTH) {
    const next = queue.shift()
    if (typeof next !== 'object' || next === null || chain.includes(next as Node)) continue
    const node = next as Node
    chain.push(node)
    queue.push(node['cause'], ...(Array.isArray(node['errors']) ? (node['errors'] as unknown[]).slice(0, MOST) : []))
  }
  return chain
}
