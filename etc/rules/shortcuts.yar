// Windows shortcuts (.lnk) that start a command interpreter, alone or embedded in a document.

rule Shortcut_To_Interpreter
{
    meta:
        name = "Shortcut.Command"
        verdict = "banned"
        description = "shell link whose target or arguments name a command interpreter"
    strings:
        // [MS-SHLLINK] 2.1 ShellLinkHeader: its size and its class
        $header = { 4C 00 00 00 01 14 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $program = /\b(cmd|powershell|pwsh|mshta|wscript|cscript|rundll32|regsvr32|certutil|bitsadmin|msiexec|forfiles|conhost|curl|ftp|wmic|installutil|msbuild)\.exe\b/ nocase ascii wide
        $variable = "%comspec%" nocase ascii wide
        $bare = /\b(powershell|mshta|wscript|cscript)\b/ nocase ascii wide
    condition:
        $header and any of ($program, $variable, $bare)
}

rule Shortcut_Embedded
{
    meta:
        name = "Shortcut.Embedded"
        verdict = "banned"
        description = "shell link inside a compound file: a document, message or package to click on"
    strings:
        $header = { 4C 00 00 00 01 14 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
    condition:
        uint32be(0) == 0xD0CF11E0 and uint32be(4) == 0xA1B11AE1 and $header
}
