# Starts the relay on Windows: makes its Python environment, looks for its store, runs `dayz-relay up`.
#
#   .\deploy\windows\start.ps1             in a window; Ctrl-C stops it
#   .\deploy\windows\start.ps1 -Install    as a task that starts with Windows, without a window
#   .\deploy\windows\start.ps1 -Remove     stops the task and removes it; settings and data stay
#
# Settings are in relay.toml, data in the folder data, both beside this copy of the relay.
param([switch]$Install, [switch]$Remove)

$ErrorActionPreference = "Stop"
$Task = "dayz-relay"
$Folder = (Resolve-Path (Join-Path $PSScriptRoot "..\..")).Path
Set-Location $Folder

function Invoke-Checked([string]$Program) {
    & $Program @args
    if ($LASTEXITCODE -ne 0) { throw "$Program $args ended with exit code $LASTEXITCODE" }
}

if ($Remove) {
    Stop-ScheduledTask -TaskName $Task
    Unregister-ScheduledTask -TaskName $Task -Confirm:$false
    Write-Host "The task $Task is removed. relay.toml and data are still in $Folder."
    exit 0
}

# Python, and what the relay needs of it.
$Python = Join-Path $Folder ".venv\Scripts\python.exe"
$Ready = Join-Path $Folder ".venv\ready.txt"
$Pins = (Get-FileHash "requirements.txt").Hash + (Get-FileHash "pyproject.toml").Hash
if (-not (Test-Path $Python)) {
    if (-not (Get-Command py -ErrorAction SilentlyContinue)) {
        throw "Python is missing: install 3.11 or newer from python.org, with its launcher py."
    }
    Invoke-Checked py -3 -c "import sys; sys.exit('The relay needs Python 3.11 or newer.' if sys.version_info < (3, 11) else 0)"
    Invoke-Checked py -3 -m venv .venv
}
if (-not (Test-Path $Ready) -or (Get-Content $Ready -Raw).Trim() -ne $Pins) {
    Write-Host "Installing dependencies into .venv ..."
    Invoke-Checked $Python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements.txt
    Invoke-Checked $Python -m pip --disable-pip-version-check --quiet install --no-build-isolation --no-deps -e .
    Set-Content $Ready $Pins
}

# The store: `up` runs the redis-server.exe in the folder redis, unless redis.url or redis.server say otherwise.
$Redis = Join-Path $Folder "redis\redis-server.exe"
$Named = $env:RELAY_REDIS__URL -or ((Test-Path "relay.toml") -and (Select-String -Path "relay.toml" -Quiet `
    -Pattern '^\s*(url_file\s*=|server\s*=|url\s*=\s*["''](rediss?(\+\w+)?|unix):)'))
if (-not $Named -and -not (Test-Path $Redis) -and -not (Get-Command redis-server -ErrorAction SilentlyContinue)) {
    Write-Host "The relay keeps its data in Redis 7 or newer. docs/windows.md says where there are builds for Windows."
    $Found = (Read-Host "Folder in which redis-server.exe is").Trim('" ')
    if (-not (Test-Path (Join-Path $Found "redis-server.exe"))) { throw "There is no redis-server.exe in $Found." }
    New-Item -ItemType Directory -Force "redis" | Out-Null
    Copy-Item (Join-Path $Found "*") "redis" -Recurse -Force
}

$Program = Join-Path $Folder ".venv\Scripts\dayz-relay.exe"
if ($Install) {
    # Windows ends a task without a word. All that mods have an answer for is on the disk by then.
    $Action = New-ScheduledTaskAction -Execute $Program -Argument "up" -WorkingDirectory $Folder
    $Settings = New-ScheduledTaskSettingsSet -ExecutionTimeLimit ([TimeSpan]::Zero) -RestartCount 999 `
        -RestartInterval (New-TimeSpan -Minutes 1) -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries
    $User = New-ScheduledTaskPrincipal -UserId ([Security.Principal.WindowsIdentity]::GetCurrent().Name) -LogonType S4U
    Register-ScheduledTask -TaskName $Task -Action $Action -Settings $Settings -Principal $User `
        -Trigger (New-ScheduledTaskTrigger -AtStartup) -Force | Out-Null
    Start-ScheduledTask -TaskName $Task
    Write-Host "The task $Task runs, and starts with Windows. Look at it: .\.venv\Scripts\dayz-relay.exe status"
    exit 0
}
& $Program up
exit $LASTEXITCODE
