// The writer as the main thread has it: questions to its thread, answered in order. Where the thread dies, what flew is in
// doubt and the next question starts another; it never asks twice by itself.

import { Worker } from 'node:worker_threads'
import type { Log } from '../../../actions/ports.ts'
import { type GroupMessage, packGroup } from './group-message.ts'
import type { Group, GroupResult } from './writer.ts'

export type ThreadData = { readonly path: string; readonly skewMs: number; readonly keepChanges: number }

export type Question =
  | { readonly type: 'group'; readonly group: GroupMessage }
  | { readonly type: 'probe' }
  | { readonly type: 'close' }

export type Answer =
  | { readonly type: 'ready' }
  | { readonly type: 'group'; readonly result: GroupResult }
  | { readonly type: 'probe'; readonly error: string | null }
  | { readonly type: 'upkeep waits'; readonly error: string }

export type WriterClient = {
  commitGroup(group: Group): Promise<GroupResult>
  /** Writes something and takes it away again; null when that worked. */
  probe(): Promise<string | null>
  /** Resolves once its handle is closed. */
  close(): Promise<void>
}

/** Beside this module, in the form that it has itself: source or built. */
const THREAD = import.meta.url.endsWith('.ts')
  ? new URL('./writer-thread.ts', import.meta.url)
  : new URL('./writer-thread.js', import.meta.url)

type Waiting = (answer: Answer | Error) => void
type Thread = { readonly worker: Worker; readonly waiting: Waiting[]; readonly ready: Promise<unknown> }

/** Resolves once the thread can write. Throws Error where it cannot start. */
export async function startWriter(data: ThreadData, options: { log?: Log; thread?: URL } = {}): Promise<WriterClient> {
  const { log, thread = THREAD } = options
  let current: Thread | null = null
  let isClosed = false

  function start(): Thread {
    const worker = new Worker(thread, { workerData: data, name: 'store-writer' })
    const waiting: Waiting[] = []
    let cause: Error | null = null
    worker.on('message', (answer: Answer) => {
      if (answer.type === 'upkeep waits')
        log?.warn({ error: answer.error }, 'upkeep of the store waits for the next commit')
      else settle(answer)
    })
    worker.on('error', (error) => {
      cause = error instanceof Error ? error : new Error(String(error))
    })
    // Only now is its handle closed: what it wrote can be seen, and it writes no more.
    worker.on('exit', (code) => {
      if (current?.worker === worker) current = null
      if (!isClosed) log?.error({ code, error: cause?.message }, "the store's writer died")
      const died = new Error(`The writer's thread ended: ${cause?.message ?? `code ${code}`}`)
      while (waiting.length > 0) settle(died)
    })
    function settle(answer: Answer | Error): void {
      waiting.shift()?.(answer)
      // An idle writer keeps no process alive.
      if (waiting.length === 0) worker.unref()
    }
    const ready = new Promise<Answer | Error>((resolve) => waiting.push(resolve))
    return { worker, waiting, ready }
  }

  async function ask(question: Question, handed: ArrayBuffer[] = []): Promise<Answer | Error> {
    if (isClosed) return new Error('The writer is closed.')
    current ??= start()
    const { worker, waiting } = current
    worker.ref()
    worker.postMessage(question, handed)
    return new Promise((resolve) => waiting.push(resolve))
  }

  current = start()
  const started = await current.ready
  if (started instanceof Error) throw started

  return {
    async commitGroup(group) {
      const message = packGroup(group)
      const answer = await ask({ type: 'group', group: message }, [message.bytes.buffer])
      if (answer instanceof Error) return { ok: false, why: 'in doubt', error: answer.message }
      if (answer.type !== 'group') throw new Error(`the writer answered ${answer.type}`)
      return answer.result
    },
    async probe() {
      const answer = await ask({ type: 'probe' })
      if (answer instanceof Error) return answer.message
      if (answer.type !== 'probe') throw new Error(`the writer answered ${answer.type}`)
      return answer.error
    },
    async close() {
      if (isClosed || current === null) return
      const last = ask({ type: 'close' })
      isClosed = true
      await last
    },
  }
}
