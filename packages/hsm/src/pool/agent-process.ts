import { spawn, type ChildProcess } from 'node:child_process'
import { trustFault } from '@sealfleet/config'
import { closeSync, existsSync, fstatSync, openSync } from 'node:fs'
import type { Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

import { dedicatedCopy } from '@sealfleet/format'

import { HsmError } from '../errors/hsm-error.js'
import type { PinSource, TokenOptions } from '../options.js'
import { FrameWriter } from '../wire/frame-writer.js'
import { decodeJson, FrameParser, KIND, type Frame, type Kind } from '../wire/frames.js'
import type { AgentConfig } from '../wire/messages.js'
import { Pads } from '../wire/pads.js'
import type { AgentEvents, AgentConnection } from './agent-connection.js'

/** The agent's program: bundled, since it starts often and loads in a third of the time; as compiled where there is no bundle. */
const PROGRAM = ['../../../../bundle/agent.mjs', '../agent/main.js']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path))

/** Threads for hung calls, beside those of the sessions: a hung call keeps its thread permanently. */
const SPARE_THREADS = 4
/** A module that takes longer than this to close its sessions is killed. */
const CLOSE_MS = 2_000

/** Our own settings, and variables that could open the agent to a debugger or load code into it. */
const WITHHELD = /^(?:SEALFLEET|NODE)_/

/** The agent's environment: the parent's and the token's, without the withheld variables. */
export function agentEnvironment(
  parent: Readonly<Record<string, string | undefined>>,
  token: Pick<TokenOptions, 'env'>,
  sessions: number,
): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries({ ...parent, ...token.env })) {
    if (value !== undefined && !WITHHELD.test(name)) env[name] = value
  }
  return { ...env, UV_THREADPOOL_SIZE: String(sessions + SPARE_THREADS) }
}

/**
 * Starts one agent. Throws HsmError when its PIN file cannot be opened; every later failure arrives as an event.
 */
export function startAgent(
  token: TokenOptions,
  config: Pick<AgentConfig, 'mode' | 'sessions' | 'hardTimeoutMs' | 'beatMs'>,
  events: AgentEvents,
): AgentConnection {
  if (PROGRAM === undefined) throw new Error('the agent is not built: npm run build')
  const pinFd = openPin(token.pin)
  try {
    const child = spawn(process.execPath, [PROGRAM], {
      env: agentEnvironment(process.env, token, config.sessions),
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', pinFd ?? 'pipe', 'pipe'],
    })
    if (pinFd === undefined && token.pin.kind === 'value') sendPin(child, token.pin.value)
    const link = new AgentProcess(child, events)
    const { module, token: label, serial, libraryParameters } = token
    const full: AgentConfig = { ...config, module, token: label, serial, libraryParameters }
    link.sendJson(KIND.CONFIG, full)
    return link
  } finally {
    if (pinFd !== undefined) closeSync(pinFd)
  }
}

function openPin(pin: PinSource): number | undefined {
  if (pin.kind === 'value') return undefined
  let fd
  try {
    fd = openSync(pin.path, 'r')
  } catch (cause) {
    throw new HsmError('HSM_ACCESS_DENIED', `the PIN file ${pin.path} can't be opened`, {
      cause,
      fix: 'Create the file, readable by the user this process runs as and by no one else, and put the PIN into it.',
    })
  }
  // Checks the descriptor that the agent gets: the path may point elsewhere since the configuration was checked.
  const fault = trustFault(pin.path, fstatSync(fd), 'secret', pin.sharedFolders)
  if (fault === undefined) return fd
  closeSync(fd)
  throw new HsmError('HSM_ACCESS_DENIED', `the PIN file ${pin.path} is not used: it ${fault}`, {
    fix: `Close it to others: chmod 600 ${pin.path}. Change the PIN if someone may have read it.`,
  })
}

function sendPin(child: ChildProcess, value: Uint8Array): void {
  const pipe = child.stdio[4] as Socket
  const copy = dedicatedCopy(value)
  // The agent may exit before it reads the PIN; the process itself reports its exit.
  pipe.on('error', () => copy.fill(0))
  pipe.end(copy, () => copy.fill(0))
}

class AgentProcess implements AgentConnection {
  readonly #child: ChildProcess
  readonly #events: AgentEvents
  readonly #writer: FrameWriter
  readonly #pads = new Pads()
  readonly ended: Promise<void>
  #resolveEnded: () => void = () => undefined
  #ended = false
  #killer: NodeJS.Timeout | undefined

  constructor(child: ChildProcess, events: AgentEvents) {
    this.#child = child
    this.#events = events
    this.ended = new Promise((resolve) => (this.#resolveEnded = resolve))
    const socket = child.stdio[3] as Socket
    const lifeline = (child.stdio as unknown as readonly Socket[])[5]
    this.#writer = new FrameWriter(socket)
    const parser = new FrameParser((frame) => {
      this.#handle(frame)
    })
    socket.on('data', (chunk: Buffer) => {
      // After a kill no answer counts: the requests went to another agent.
      if (this.#ended) chunk.fill(0)
      else parser.push(chunk)
    })
    // A broken pipe means the process is gone or about to be; its exit event says how it ended.
    const broken = () => {
      this.kill()
    }
    socket.on('error', broken)
    socket.on('end', broken)
    lifeline?.on('error', broken)
    child.on('error', (error) => {
      this.#exit(`could not be started: ${error.message}`)
    })
    child.on('exit', (code, signal) => {
      this.#exit(signal === null ? `exit status ${String(code)}` : signal)
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  send(kind: Kind, id: number, parts: readonly Uint8Array[]): void {
    const pad = this.#pads.open(kind, id)
    this.#writer.send(kind, id, pad === undefined ? parts : [pad, ...parts])
  }

  sendJson(kind: Kind, value: unknown): void {
    this.#writer.sendJson(kind, 0, value)
  }

  allowLogin(): void {
    this.send(KIND.LOGIN, 0, [])
  }

  close(): void {
    this.send(KIND.CLOSE, 0, [])
    this.#killer = setTimeout(() => {
      this.kill()
    }, CLOSE_MS).unref()
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  #exit(how: string): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#killer)
    this.#pads.closeAll()
    for (const stream of this.#child.stdio) stream?.destroy()
    this.#events.exit(how)
    this.#resolveEnded()
  }

  #handle(frame: Frame): void {
    const events = this.#events
    switch (frame.kind) {
      case KIND.OK:
        this.#pads.lift(frame.id, frame.payload)
        events.reply(frame.id, frame.payload)
        return
      case KIND.ERROR:
        this.#pads.close(frame.id)
        events.error(frame.id, decodeJson(frame))
        return
      case KIND.BEAT:
        events.beat(decodeJson(frame))
        return
      case KIND.NOTICE:
        events.notice(decodeJson(frame))
        return
      case KIND.WANT_LOGIN:
        events.wantLogin(decodeJson(frame))
        return
      case KIND.LOGGED_IN:
        events.loggedIn(decodeJson(frame))
        return
      case KIND.READY:
        events.ready(decodeJson(frame))
        return
      case KIND.FAILED:
        events.failed(decodeJson(frame))
        return
      default:
        this.kill()
    }
  }
}
