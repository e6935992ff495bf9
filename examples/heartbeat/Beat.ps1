# Ten heartbeats from Windows PowerShell by the named pipe:  .\Beat.ps1 orders
param([string] $Service = $env:LIFESIGN_SERVICE)
$name = if ($env:LIFESIGN_LOCAL) { $env:LIFESIGN_LOCAL } else { 'lifesign' }
# Writing alone: the right to make an instance of the pipe is lifesign's.
$rights = [System.IO.Pipes.PipeAccessRights] 'WriteData, Synchronize'
$heart = New-Object System.IO.Pipes.NamedPipeClientStream('.', $name, $rights,
    [System.IO.Pipes.PipeOptions]::None, [System.Security.Principal.TokenImpersonationLevel]::Identification,
    [System.IO.HandleInheritability]::None)
$heart.Connect(1000)
try {
    foreach ($done in 1..10) {
        $line = [System.Text.Encoding]::UTF8.GetBytes("$Service alive progress=$done queue=12.5 message=hello from PowerShell`n")
        $heart.Write($line, 0, $line.Length)
        $heart.Flush()
        Start-Sleep -Milliseconds 20
    }
} finally { $heart.Dispose() }
