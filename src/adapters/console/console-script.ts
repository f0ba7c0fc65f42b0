// The page's one script, as it is sent. It keeps the token in sessionStorage, sends it in a header and nowhere else, and
// shows what the server rendered.

export const CONSOLE_SCRIPT = `const KEY = 'hallpass.token'
const view = document.getElementById('view')
const signIn = document.getElementById('sign-in')
const signOut = document.getElementById('sign-out')
const token = document.getElementById('token')

const pathOfView = () => {
  const path = /^\\/(requests|receipts)(\\/[A-Za-z0-9_-]{1,128})?$/.exec(location.pathname)
  return path === null ? '/console/requests' : '/console' + path[0]
}

// mode cors, so that the Origin header is sent as it is, whatever the referrer policy.
const ask = (path, body) =>
  fetch(path, {
    method: body === undefined ? 'GET' : 'POST',
    mode: 'cors',
    credentials: 'omit',
    cache: 'no-store',
    redirect: 'error',
    headers: {
      Authorization: 'Bearer ' + sessionStorage.getItem(KEY),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })

const say = (text) => {
  const p = document.createElement('p')
  p.className = 'notice bad'
  p.setAttribute('role', 'alert')
  p.textContent = text
  view.replaceChildren(p)
}

async function show(path, body) {
  view.setAttribute('aria-busy', 'true')
  try {
    const answer = await ask(path, body)
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html')
    view.replaceChildren(...page.body.childNodes)
    if (answer.status === 401) return forget(true)
    const heading = view.querySelector('h1')
    document.title = (heading === null ? '' : heading.textContent + ' · ') + 'Hallpass'
    document.getElementById('main').focus()
  } catch {
    say('The broker cannot be reached. Nothing was decided; try again.')
  } finally {
    view.removeAttribute('aria-busy')
  }
}

function forget(keepView) {
  sessionStorage.removeItem(KEY)
  if (!keepView) view.replaceChildren()
  signIn.hidden = false
  signOut.hidden = true
  token.focus()
}

function start() {
  const known = sessionStorage.getItem(KEY) !== null
  signIn.hidden = known
  signOut.hidden = !known
  if (known) show(pathOfView())
  else token.focus()
}

signIn.addEventListener('submit', (event) => {
  event.preventDefault()
  const given = token.value.trim()
  token.value = ''
  if (!/^[A-Za-z0-9._~-]+$/.test(given)) return say('That is not a token.')
  sessionStorage.setItem(KEY, given)
  start()
})
signOut.addEventListener('click', () => forget(false))

// Only a click on its own button decides: Enter in a field must never approve.
view.addEventListener('submit', (event) => event.preventDefault())

function decide(button) {
  const form = button.form
  const fields = new FormData(form)
  const body = { csrf: fields.get('csrf') }
  if (fields.has('hash')) body.hash = fields.get('hash')
  if (button.value === 'approve') {
    body.scopes = fields.getAll('scope')
    body.durationSeconds = Number(fields.get('duration'))
    if (body.scopes.length === 0) {
      form.querySelector('[data-fault]').textContent = 'Choose at least one scope, or deny.'
      return
    }
  } else {
    const reason = String(fields.get('reason') ?? '').trim()
    if (reason !== '') body.reason = reason
  }
  for (const each of form.querySelectorAll('button')) each.disabled = true
  show(button.dataset.post, body)
}

view.addEventListener('click', (event) => {
  if (!(event.target instanceof Element)) return
  const button = event.target.closest('button[data-post]')
  if (button !== null) return decide(button)
  const link = event.target.closest('a[data-view]')
  if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return
  event.preventDefault()
  history.pushState(null, '', link.getAttribute('href'))
  show(pathOfView())
})
window.addEventListener('popstate', start)
start()
`
