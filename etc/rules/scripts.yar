// Scripts that fetch or unpack a program and start it.
// Every pattern asks for the whole command with its argument, so that a mail that only speaks of
// these programs is not one of them.

rule Script_PowerShell_Encoded
{
    meta:
        name = "Script.PowerShellEncoded"
        verdict = "banned"
        description = "powershell with an encoded command of some length"
    strings:
        $command = /\b(powershell|pwsh)(\.exe)?["']?\s[^\r\n]{0,200}[\-\/]e(c|n|nc|nco|ncod|ncode|ncoded|ncodedc[a-z]{0,6})?\s+["']?[A-Za-z0-9+\/]{64}/ nocase ascii wide
    condition:
        $command
}

rule Script_PowerShell_Download
{
    meta:
        name = "Script.PowerShellDownload"
        verdict = "banned"
        description = "PowerShell that runs what it has just fetched"
    strings:
        $run = /\b(iex|invoke-expression)\b[^\r\n]{0,80}(new-object\s+(system\.)?net\.webclient|invoke-webrequest|\biwr\b|invoke-restmethod|\birm\b)[^\r\n]{0,80}https?:/ nocase ascii wide
        $pipe = /(downloadstring\s?\(|invoke-webrequest\s|\biwr\s|invoke-restmethod\s|\birm\s)[^\r\n|]{0,300}https?:[^\r\n|]{0,300}\|\s{0,4}(iex|invoke-expression)\b/ nocase ascii wide
    condition:
        any of them
}

rule Script_Living_Off_The_Land
{
    meta:
        name = "Script.Dropper"
        verdict = "banned"
        description = "a program of Windows made to fetch or to run what came from outside"
    strings:
        $mshta = /\bmshta(\.exe)?["']?\s{1,8}["']?(https?:\/\/|javascript:|vbscript:)/ nocase ascii wide
        $certutil = /\bcertutil(\.exe)?["']?\s[^\r\n]{0,80}[\-\/]urlcache\s[^\r\n]{0,80}https?:\/\// nocase ascii wide
        $regsvr32 = /\bregsvr32(\.exe)?["']?\s[^\r\n]{0,80}\/i:["']?https?:\/\// nocase ascii wide
        $rundll32 = /\brundll32(\.exe)?["']?\s{1,8}["']?javascript:/ nocase ascii wide
        $bitsadmin = /\bbitsadmin(\.exe)?["']?\s[^\r\n]{0,80}\/transfer\s[^\r\n]{0,120}https?:\/\// nocase ascii wide
    condition:
        any of them
}

rule Script_Host_Dropper
{
    meta:
        name = "Script.Dropper"
        verdict = "banned"
        description = "JScript or VBScript that makes a shell, and something to run in it"
    strings:
        $shell = /(ActiveXObject|CreateObject)\s{0,4}\(\s{0,4}["'](WScript\.Shell|Shell\.Application)["']/ nocase ascii wide
        $start = /\.(Run|Exec|ShellExecute)\b/ nocase ascii wide
        $fetch1 = "MSXML2.XMLHTTP" nocase ascii wide
        $fetch2 = "MSXML2.ServerXMLHTTP" nocase ascii wide
        $fetch3 = "WinHttp.WinHttpRequest" nocase ascii wide
        $fetch4 = "Microsoft.XMLHTTP" nocase ascii wide
        $fetch5 = "ADODB.Stream" nocase ascii wide
        $fetch6 = "powershell" nocase ascii wide
        $fetch7 = /\bcmd(\.exe)?\s{1,4}\/c\b/ nocase ascii wide
    condition:
        $shell and $start and any of ($fetch*)
}

rule Script_Encoded
{
    meta:
        name = "Script.Encoded"
        verdict = "banned"
        description = "script in the encoding of Microsoft's Script Encoder (.jse, .vbe)"
    strings:
        $encoded = /#@~\^[A-Za-z0-9+\/]{6}==/
    condition:
        $encoded in (0..4096)
}

rule Script_HTML_Application
{
    meta:
        name = "Script.HTA"
        verdict = "banned"
        description = "HTML application: a page that runs as a program"
    strings:
        $tag = /<hta:application[\s\/>]/ nocase ascii wide
    condition:
        $tag
}

rule Script_Scriptlet
{
    meta:
        name = "Script.Scriptlet"
        verdict = "banned"
        description = "Windows script component or script file (.sct, .wsf)"
    strings:
        $scriptlet = /<(scriptlet|component|package|job)\b[^>]{0,200}>/ nocase
        $registration = /<registration\b[^>]{0,400}(progid|classid)=/ nocase
        $script = /<script\b[^>]{0,100}language\s{0,4}=\s{0,4}["']?(jscript|vbscript|javascript)/ nocase
        $host = "WScript." nocase
    condition:
        $scriptlet in (0..1024) and $script and ($registration or $host)
}
