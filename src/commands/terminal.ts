// Where a command speaks: answers on stdout, progress and faults on stderr. Whatever came from agents or manifests is
// made safe before it is shown (S20); in JSON it is escaped instead, so that nothing is lost.

import { createInterface } from 'node:readline/promises'
import { styleText } from 'node:util'
import { safeText } from '../core/safe-text.ts'
import { indented } from './show.ts'
import type { Stop } from './stop.ts'

type Colour = 'red' | 'green' | 'yellow' | 'dim' | 'bold'

export type Terminal = {
  /** Answers are JSON from here on. */
  useJson(): void
  readonly json: () => boolean
  /** The command's answer: JSON where asked for, else these lines. Lines must be safe already (see show.ts). */
  answer(value: unknown, lines: () => readonly string[]): void
  /** One of many answers that follow each other: JSON on one line where asked for. */
  item(value: unknown, lines: () => readonly string[]): void
  /** Progress, to stderr. */
  note(text: string): void
  fault(stop: Stop): void
  paint(colour: Colour, text: string): string
  /** A person can be asked: stdin and stderr are a terminal, and JSON was not asked for. */
  readonly interactive: () => boolean
  /** One line from the person, trimmed; null at end of input, or once `signal` aborts. */
  ask(question: string, signal?: AbortSignal): Promise<string | null>
}

/** Control, format and unassigned characters as `\uXXXX`: the same JSON, and nothing in it moves a cursor. */
const harmlessJson = (value: unknown, indent: number): string =>
  JSON.stringify(value, null, indent).replace(/[\p{Cf}\p{Co}\p{Cn}\x7f-\x9f\u2028\u2029]/gu, (character) =>
    [...Array(character.length).keys()]
      .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join(''),
  )

type Streams = {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  readonly stdout: NodeJS.WritableStream & { readonly isTTY?: boolean }
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean }
  readonly env: Readonly<Record<string, string | undefined>>
}

export function createTerminal({ stdin, stdout, stderr, env }: Streams): Terminal {
  let asJson = false
  const isPainted = stdout.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb'
  const paint = (colour: Colour, text: string) =>
    isPainted && !asJson ? styleText(colour, text, { validateStream: false }) : text
  const write = (text: string) => stdout.write(`${text}\n`)
  return {
    useJson() {
      asJson = true
    },
    json: () => asJson,
    answer(value, lines) {
      write(asJson ? harmlessJson(value, 2) : lines().join('\n'))
    },
    item(value, lines) {
      write(asJson ? harmlessJson(value, 0) : lines().join('\n'))
    },
    note(text) {
      stderr.write(`${text}\n`)
    },
    fault({ message, hints, problem, exitCode }) {
      if (asJson) {
        const refusal = problem ?? { code: 'local', requestId: null, manifestPatch: null }
        stderr.write(`${harmlessJson({ error: { ...refusal, message, hints, exitCode } }, 0)}\n`)
        return
      }
      const lines = message.split('\n').map((line) => safeText(line))
      stderr.write(`hallpass: ${problem === null ? '' : `${safeText(problem.code)}: `}${lines.join('\n')}\n`)
      for (const hint of hints) stderr.write(`  ${safeText(hint)}\n`)
      if (problem === null) return
      if (problem.manifestPatch !== null)
        stderr.write(`  An owner could allow it with:\n${indented(problem.manifestPatch, '    ').join('\n')}\n`)
      if (problem.requestId !== null) stderr.write(`  request ${safeText(problem.requestId)}\n`)
    },
    paint,
    interactive: () => stdin.isTTY === true && stderr.isTTY === true && !asJson,
    async ask(question, signal) {
      const reader = createInterface({ input: stdin, output: stderr })
      const ended = new Promise<null>((resolve) => {
        reader.once('close', () => resolve(null))
        signal?.addEventListener('abort', () => reader.close(), { once: true })
        if (signal?.aborted === true) reader.close()
      })
      // While it reads, Ctrl-C comes as a key: pass it on as what it means.
      reader.once('SIGINT', () => process.kill(process.pid, 'SIGINT'))
      const answered = reader.question(question).then(
        (text) => text.trim(),
        () => null,
      )
      try {
        return await Promise.race([answered, ended])
      } finally {
        reader.close()
      }
    },
  }
}
