// The one prompt: how to ask for the least that a task needs, with a reason that an owner can judge.

import { type Prompt, ProtocolError, ProtocolErrorCode, type Server } from '@modelcontextprotocol/server'
import type { Edge } from '../../actions/edge.ts'
import type { AccessibleTool } from '../../actions/list-access.ts'
import { didYouMean } from '../../core/did-you-mean.ts'
import { TEXT } from '../../core/limits.ts'
import type { CallOf } from './call.ts'
import { forCall } from './for-call.ts'

const ASK: Prompt = {
  name: 'ask_for_access',
  title: 'Ask for the least access that a task needs',
  description: 'How to choose scopes for a task, and to word a reason that its owner can judge.',
  arguments: [
    { name: 'task', description: 'What has to be done, with its ticket or alert', required: true },
    { name: 'tool', description: 'The tool, if it is known already', required: false },
  ],
}

export function servePrompts(server: Server, edge: Edge, callOf: CallOf): void {
  server.setRequestHandler('prompts/list', () => ({ prompts: [ASK] }))
  server.setRequestHandler('prompts/get', ({ params }, { http }) => {
    const { caller, ...call } = callOf(http?.req)
    return forCall(edge, { caller, ...call }, 'prompts/get', async () => {
      if (params.name !== ASK.name) throw invalid(`There is no prompt of that name. There is: ${ASK.name}.`)
      const { task = '', tool = '' } = params.arguments ?? {}
      if (task.trim() === '' || task.length > TEXT.reason) throw invalid(`task: 1 to ${TEXT.reason} characters.`)
      const { access } = await edge.toolsetOf(caller.agent)
      const text = promptFor(task.trim(), tool === '' ? access : [named(access, tool)], tool !== '')
      return { description: ASK.description, messages: [{ role: 'user', content: { type: 'text', text } }] }
    })
  })
}

const invalid = (message: string) => new ProtocolError(ProtocolErrorCode.InvalidParams, message)

function named(access: readonly AccessibleTool[], tool: string): AccessibleTool {
  const found = access.find((one) => one.tool === tool)
  if (found !== undefined) return found
  const names = access.map((one) => one.tool)
  const nearest = didYouMean(tool, names)
  throw invalid(
    `You may not ask for a tool of that name. ${nearest === null ? '' : `Did you mean ${nearest}? `}` +
      `You may ask for: ${names.join(', ') || 'none'}.`,
  )
}

const promptFor = (task: string, access: readonly AccessibleTool[], isNamed: boolean): string =>
  [
    `The task: ${task}`,
    '',
    'Get the access that it needs from Hallpass, and no more:',
    '1. Call list_access. If you hold a grant that covers the task, use that one.',
    `2. Choose ${isNamed ? 'scopes' : 'one tool and the scopes'} by what the task does, step by step: to read before to write, low risk before high. ` +
      'A scope that no step needs is left out; you can ask again later. Give details (a queue, a namespace) where the task names them, ' +
      'and the shortest durationSeconds that will do.',
    '3. Call request_access with a reason that a person can judge in ten seconds: which ticket, alert or task; what you will do; when you are done.',
    '   Good: "INC-4211: read the incident, comment the root cause; 30 minutes."',
    '   Bad: "need access", "to help the user", "might be useful".',
    '4. If it is pending, pass on the link and the words, do other work, and do not ask again. If it is refused, follow the hint; never ask for more instead.',
    '5. Call release_access as soon as the task is done.',
    '',
    access.length === 0
      ? 'You may ask for nothing at present: tell your owner what the task needs.'
      : 'You may ask for:',
    ...access.map(
      ({ tool, scopes }) =>
        `- ${tool}: ${scopes.map(({ name, description, risk }) => `${name} (${risk} risk: ${description})`).join('; ')}`,
    ),
  ].join('\n')
