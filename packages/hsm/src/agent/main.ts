import { Socket, type ConnectOpts, type SocketConstructorOpts } from 'node:net'
import { setTimeout } from 'node:timers/promises'

import { FrameWriter } from '../wire/frame-writer.js'
import { decodeJson, FrameParser, KIND, type Frame } from '../wire/frames.js'
import type { AgentConfig, Beat, Failed, Ready, StartStage } from '../wire/messages.js'
import type { VendorProfile } from '../errors/classes.js'
import { profileOf } from '../errors/classify.js'
import { AdminServer } from './admin-serve.js'
import { CkrError } from './cryptoki.js'
import { describe, OperationFailure } from './failure.js'
import { watchParent } from './parent-watch.js'
import { LoginGate } from './login.js'
import { NoToken, Pkcs11Module } from './module.js'
import { Operations } from './operations.js'
import { PinReader } from './pin.js'
import { PoolServer } from './serve.js'
import { usableMechanisms } from './token-report.js'

/**
 * The agent: the only process that loads a PKCS#11 module. Inherited descriptors: 3 frames, 4 the PIN, 5 the parent
 * watch. It ends only when its pipe ends: signals to a process group are the parent's business.
 */
const FD = { frames: 3, pin: 4, lifeline: 5 } as const

/** Bytes of one read from the pipe. */
const READ_LENGTH = 64 * 1024

/** Tries to find the token at a start, and the pause between two, milliseconds. */
const TOKEN_LOOKS = 3
const TOKEN_LOOK_MS = 150

interface Serving {
  handle(frame: Frame): boolean
  /** Closes sessions; false while a call is in flight: then the module must not be finalised. */
  close(): boolean
}

class Agent {
  readonly #parser = new FrameParser((frame) => {
    this.#handle(frame)
  })
  readonly #socket = openFrames((bytes) => {
    this.#parser.push(bytes)
  })
  readonly #writer = new FrameWriter(this.#socket)
  #module: Pkcs11Module | undefined
  #gate: LoginGate | undefined
  #serving: Serving | undefined

  run(): void {
    this.#socket.on('error', die)
    this.#socket.on('close', die)
    this.#socket.on('end', die)
  }

  #handle(frame: Frame): void {
    switch (frame.kind) {
      case KIND.CONFIG:
        void this.#start(decodeJson<AgentConfig>(frame))
        return
      case KIND.LOGIN:
        this.#gate?.allow()
        return
      case KIND.CLOSE:
        this.#close()
        return
      default:
        if (this.#serving?.handle(frame) !== true) throw new Error(`unexpected frame kind ${frame.kind}`)
    }
  }

  async #start(config: AgentConfig): Promise<void> {
    let stage: StartStage = 'library'
    try {
      this.#module = await this.#moduleWithToken(config, (reached) => (stage = reached))
      const profile = profileOf(this.#module.identity().token)
      const mechanisms = usableMechanisms(this.#module.mechanisms(), profile)
      const gate = new LoginGate(this.#module, new PinReader(FD.pin), this.#writer, profile)
      this.#gate = gate
      stage = 'login'
      const sessions =
        config.mode === 'admin' ? await this.#startAdmin(gate, profile) : await this.#startPool(gate, config, profile)
      const { token } = this.#module.identity()
      const ready: Ready = { pid: process.pid, token, mechanisms, sessions }
      this.#writer.sendJson(KIND.READY, 0, ready)
    } catch (error) {
      const cause = error instanceof OperationFailure ? (error.cause ?? error) : error
      const source = cause instanceof CkrError ? { ckr: cause.ckr, fn: cause.fn } : {}
      const rejected = error instanceof OperationFailure && error.verdict === 'login'
      const failed: Failed = {
        stage: cause instanceof NoToken ? 'token' : stage,
        text: describe(cause),
        rejected,
        ...source,
      }
      this.#writer.sendJson(KIND.FAILED, 0, failed)
      this.#writer.flush()
      this.#socket.end()
    }
  }

  /**
   * Loads the module and selects the token. SoftHSM writes a token's file at every login, and a process that
   * initialises at that moment sees no token (seen under load, with several agents starting); only a new C_Initialize
   * looks again.
   */
  async #moduleWithToken(config: AgentConfig, reached: (stage: StartStage) => void): Promise<Pkcs11Module> {
    for (let look = 1; ; look++) {
      reached('library')
      const module = Pkcs11Module.load(config.module, config.libraryParameters, () => reached('initialize'))
      reached('token')
      try {
        module.selectToken(config.token, config.serial)
        return module
      } catch (error) {
        if (!(error instanceof NoToken) || look === TOKEN_LOOKS) throw error
        module.finalize()
        await setTimeout(TOKEN_LOOK_MS)
      }
    }
  }

  async #startPool(gate: LoginGate, config: AgentConfig, profile?: VendorProfile): Promise<number> {
    const module = this.#requireModule()
    const operations = new Operations(module, {
      sessions: config.sessions,
      hardTimeoutMs: config.hardTimeoutMs,
      profile,
      login: async (anchor) => gate.login(anchor),
      notice: (notice) => {
        this.#writer.sendJson(KIND.NOTICE, 0, notice)
      },
    })
    const opened = await operations.start()
    const server = new PoolServer(operations, this.#writer)
    this.#serving = {
      handle: (frame) => server.handle(frame),
      close: () => {
        const quiet = operations.sessions.leased === 0
        if (quiet) operations.sessions.closeAll()
        return quiet
      },
    }
    const beat = () => {
      const counts = operations.sessions.counts()
      const body: Beat = { rss: process.memoryUsage.rss(), epoch: operations.sessions.generation, ...counts }
      this.#writer.sendJson(KIND.BEAT, 0, body)
    }
    setInterval(beat, config.beatMs)
    return opened
  }

  async #startAdmin(gate: LoginGate, profile?: VendorProfile): Promise<number> {
    const module = this.#requireModule()
    const session = module.openSession(true)
    await gate.login(session)
    const server = new AdminServer(module, session, this.#writer, profile)
    this.#serving = {
      handle: (frame) => server.handle(frame),
      close: () => {
        if (!server.quiet) return false
        module.closeSession(session)
        return true
      },
    }
    return 1
  }

  #requireModule(): Pkcs11Module {
    if (this.#module === undefined) throw new Error('no module is loaded')
    return this.#module
  }

  /** The parent closes when no call is in flight; during a call the module must not be finalised (it crashes). */
  #close(): void {
    try {
      if (this.#serving?.close() !== false) this.#module?.finalize()
    } finally {
      die()
    }
  }
}

/** Reads into one buffer, which the parser wipes: Node's own reading leaves copies of the data, nonces among them. */
function openFrames(push: (bytes: Buffer) => void): Socket {
  const options: SocketConstructorOpts & ConnectOpts = {
    fd: FD.frames,
    readable: true,
    writable: true,
    onread: {
      buffer: Buffer.allocUnsafeSlow(READ_LENGTH),
      callback: (length, buffer) => {
        push(Buffer.from(buffer.buffer, buffer.byteOffset, length))
        return true
      },
    },
  }
  return new Socket(options)
}

/** `process.exit` waits for calls that hang in the module; SIGKILL does not. */
function die(): void {
  process.kill(process.pid, 'SIGKILL')
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The parent reads the rest and then ends the pipe.
  })
}
watchParent(FD.lifeline)
new Agent().run()
